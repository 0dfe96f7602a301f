"""TempCompass: four tasks about time in videos, each in five dimensions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import (
    LETTERED,
    Options,
    as_question,
    letters_of_text,
    read_options,
)
from videothinker.evaluation.benchmarks.records import FileRecord, listed, parse
from videothinker.evaluation.rules import final, settled
from videothinker.types import Question

TASKS = ("multi-choice", "yes_no", "caption_matching", "captioning")
MATCHING = re.compile(
    r"Which (description is a more suitable match|sentence better captures|caption matches)"
)
"""How all 1,503 caption matching questions begin."""
INFORMATION = re.compile(r"Information [A-Z]: ")
MATCHING_NAME = re.compile(r"(?i:option|sentence|caption)\s*([AB12])\b")


def reference(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The category is task/dimension."""
    for record in records:
        made = as_question(record)
        if isinstance(made, Question):
            task = task_of(made.text, made.options, record.fields.get("mc_question"))
            made = replace(made, category=f"{task}/{record.text('dim')}")
        yield made


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """Options are lines of the question, behind letters, names such as "Caption B", or nothing."""
    counts: Counter[str] = Counter()
    for record in records:
        lines = record.text("question").strip().split("\n")
        options, correct = _choice(record, lines[1:])
        task = task_of(lines[0], options, record.fields.get("mc_question"))
        dimension = record.text("dim")
        group = f"{record.text('video_id')}/{dimension}/{task}"
        counts[group] += 1
        yield Question(
            id=f"{group}/{counts[group]}",
            video=f"TempCompass/videos/{record.text('video_id')}.mp4",
            text=lines[0],
            options=options,
            answer=correct,
            category=f"{task}/{dimension}",
        )


def task_of(text: str, options: Options, caption: object) -> str:
    """Which of TempCompass's four tasks a question is of; only its content says so.

    caption: what a captioning record has beside its question (mc_question); empty in the others.
    """
    texts = [option.strip() for _, option in options]
    if caption or any(option.startswith("{") for option in texts):
        return "captioning"
    if [option.lower() for option in texts] == ["yes", "no"]:
        return "yes_no"
    return "caption_matching" if MATCHING.match(text) else "multi-choice"


def _choice(record: FileRecord, lines: Sequence[str]) -> tuple[Options, str]:
    """The options below a question, and the letter of the answer."""
    answer = record.text("answer")
    if not lines:
        yes_or_no = (("A", "yes"), ("B", "no"))
        return yes_or_no, _letter(record, letters_of_text(answer.lower(), yes_or_no))
    informations = [line for line in lines if INFORMATION.match(line)]
    if informations:
        lettered = [INFORMATION.sub("", line) for line in informations]
    elif LETTERED.fullmatch(lines[0]):
        lettered = list(lines)
    else:  # "Caption A: text", "Option 1: text": the place among the lines is the letter
        named = tuple(zip(ascii_uppercase, lines, strict=False))
        options = tuple((letter, line.partition(": ")[2]) for letter, line in named)
        return options, _letter(record, letters_of_text(answer, named))
    options = read_options(
        replace(record, fields={**record.fields, "question": lettered}), "question", lettered=True
    )
    match = LETTERED.fullmatch(answer)
    return options, _letter(record, [match[1]] if match and match[1] in dict(options) else [])


def _letter(record: FileRecord, found: Sequence[str]) -> str:
    if not found:
        raise record.problem(
            "answer",
            f"{record.text('answer')!r} is not one of the question's options. Correct one.",
        )
    return found[0]


def option_names(question: Question) -> list[str]:
    """ "Caption A" and "Caption B" where the question asks which caption, and so on."""
    letters = [letter for letter, _ in question.options]
    match = MATCHING.match(question.text)
    if match is None:
        return letters
    kind = match[1].split()[0]
    if kind == "description":
        return [f"Option {number}" for number, _ in enumerate(letters, start=1)]
    return [f"{kind.capitalize()} {letter}" for letter in letters]


def opened(path: Path) -> list[FileRecord]:
    """One file's records; the release nests them: {video: {dimension: [{question, answer}]}}."""
    entries, found = parse(path), list[FileRecord]()
    if not isinstance(entries, dict):
        return listed(path, entries)
    for video, dimensions in entries.items():
        if not isinstance(dimensions, dict):
            raise InputError(f"{path}: {video}: not an object of lists by dimension.")
        for dimension, questions in dimensions.items():
            for record in listed(path, questions):
                where = f"{path}: {video}: {dimension}: record {record.number}"
                fields = {**record.fields, "video_id": video, "dim": dimension}
                found.append(replace(record, where=where, fields=fields))
    if not found:
        raise InputError(f"{path}: there are no questions in it. Fetch the file again.")
    return found


def rule(completion: str, question: Question) -> bool:
    """The rules of the question's task, then a stand-in for the paid judge."""
    text = final(completion)
    task = question.category.split("/")[0]
    if task == "yes_no":
        match = re.match(r"(?i)(yes|no)", text)
        if match:
            return dict(question.options)[question.answer].strip() == match[1].lower()
    if task == "caption_matching":
        match = MATCHING_NAME.search(text) or re.fullmatch(r"\W*([12])\W*", text)
        if match:
            return match[1].translate(str.maketrans("12", "AB")) == question.answer
    return settled(text, question.options) == question.answer
