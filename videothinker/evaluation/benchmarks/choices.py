"""Options and their correct letter, however a file writes them, and a record as a question."""

from __future__ import annotations

import ast
import re
from string import ascii_uppercase
from typing import Any

from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.types import Question

Options = tuple[tuple[str, str], ...]

LETTERED = re.compile(r"\s*\(?([A-Z])\s*[.:)]\s?(.*)", re.DOTALL)
"""Also " D. text" and "C.text", which TempCompass has."""
SOLUTION = re.compile(r"\s*(?:<answer>)?\s*([A-Z])\s*(?:</answer>)?\s*")


def as_question(
    record: FileRecord,
    category: str = "",
    *,
    text: str = "problem",
    identity: str = "problem_id",
    lettered: bool = True,
) -> Question | str:
    """The question of a record of the reference's files, or why it is left out.

    Its files are one list of records, a little different each time: problem_id, data_type and
    problem_type are not in every one. Fields that are not named here are ignored.
    """
    kind = record.fields.get("problem_type", "multiple choice")
    if kind != "multiple choice":
        return str(kind)
    options = read_options(record, "options", lettered=lettered)
    correct = letter_of(record, "solution", options)
    written_id = record.fields.get(identity)
    check_agreement(record, "answer", options, correct)
    return Question(
        id=str(record.number if written_id is None else written_id),
        video=record.text("video").lstrip("/"),
        text=record.text(text),
        options=options,
        answer=correct,
        category=category,
        **record.clip(),
    )


def read_options(record: FileRecord, name: str, *, lettered: bool) -> Options:
    """(letter, text) in the order of the file; equal texts and single options are kept.

    lettered: whether a list's texts bring their letters along. Texts keep their stray spaces,
    since the model is shown them as they are. A dictionary's keys are its letters.
    """
    listed = _literal(record, name, record.get(name))
    if isinstance(listed, dict):
        listed, lettered = [f"{key}. {text}" for key, text in listed.items()], True
    if not isinstance(listed, list) or not 1 <= len(listed) <= len(ascii_uppercase):
        raise record.problem(name, "not a list of 1 to 26 options, nor a dictionary by letter.")
    return tuple(
        _option(record, name, expected, text, lettered)
        for expected, text in zip(ascii_uppercase, listed, strict=False)
    )


def letter_of(record: FileRecord, name: str, options: Options) -> str:
    """The correct letter, bare or inside <answer>; it must be one of the options'."""
    written = record.text(name)
    match = SOLUTION.fullmatch(written)
    if match is None:
        raise record.problem(
            name, f"{written.strip()!r} is not one letter, such as 'C' or '<answer>C</answer>'."
        )
    if match[1] not in dict(options):
        known = ", ".join(letter for letter, _ in options)
        raise record.problem(
            name, f"{match[1]} is not among the options ({known}). Correct one of the two."
        )
    return match[1]


def check_agreement(record: FileRecord, name: str, options: Options, correct: str) -> None:
    """Refuse a record whose answer in words names another option than its solution.

    Spaces at the ends do not matter, and of options with equal texts each counts.
    """
    words = record.fields.get(name)
    if not isinstance(words, str):
        return
    named = letters_of_text(words, options)
    match = SOLUTION.fullmatch(words) or LETTERED.fullmatch(words)
    if not named and match and match[1] in dict(options):
        named = [match[1]]
    if named and correct not in named:
        raise record.problem(
            name, f"{words.strip()!r} is option {named[0]}, the solution is {correct}. Keep one."
        )


def letters_of_text(text: str, options: Options) -> list[str]:
    """The letters of the options that read like this, but for spaces at the ends."""
    return [letter for letter, option in options if option.strip() == text.strip()]


def _option(
    record: FileRecord, name: str, expected: str, text: object, lettered: bool
) -> tuple[str, str]:
    if isinstance(text, dict):
        text = str(text)
    if not isinstance(text, str):
        raise record.problem(name, f"option {expected} is {text!r}, not a text.")
    if not lettered or text.lstrip().startswith("{"):
        return expected, text
    match = LETTERED.fullmatch(text)
    if match is None:
        raise record.problem(
            name, f"{text[:40]!r} has no letter. Write it as '{expected}. {text[:20]}'."
        )
    if match[1] != expected:
        raise record.problem(
            name, f"{text[:40]!r} is in the place of {expected}. Letters go A, B, C, ... in order."
        )
    return expected, match[2]


def _literal(record: FileRecord, name: str, value: Any) -> Any:
    """A list or dictionary that was written as a Python text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise record.problem(name, f"{value[:40]!r} is a text, not a list of options.") from error
