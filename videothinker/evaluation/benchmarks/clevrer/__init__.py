"""CLEVRER as `videothinker prepare clevrer` writes it; several letters may be correct, or none."""

from __future__ import annotations

import re
from pathlib import Path

from videothinker.data.questions import read_questions, refuse_duplicates
from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import LETTERED
from videothinker.method.answers import ANSWER
from videothinker.types import Question

LISTED = re.compile(r"[\s(\[]*[A-Z][\s)\].:]*(?:(?:[,;&\s]|\band\b)[\s(\[]*[A-Z][\s)\].:]*)*")
NONE = re.compile(r"(?i)\s*(none|no option|none of (the|these)( \w+)?)?[\s.]*")


def prepared(path: Path) -> list[Question]:
    """What `prepare` wrote; in a folder, the questions without a correct option as well."""
    file = path / "questions.parquet" if path.is_dir() else path
    if file.suffix in (".json", ".jsonl") or (path.is_dir() and not file.is_file()):
        raise InputError(
            f"{path}: clevrer is evaluated on prepared questions. Run `videothinker prepare "
            "clevrer --questions FILE --annotations DIR --videos DIR --out DIR` and give "
            "DIR/questions.parquet, or DIR for the questions without a correct option as well."
        )
    questions = read_questions(file)
    without = path / "no_answer.parquet"
    if path.is_dir() and without.is_file():
        questions += read_questions(without)
    refuse_duplicates(path, (question.id for question in questions))
    return questions


def named_set(completion: str) -> frozenset[str] | None:
    """The options judged correct; None where the completion cannot be read.

    The first answer block, or a completion without one: letters with commas, spaces or "and"
    between them, or options written out with their letters, one a line. An empty block, or "none",
    judges every option wrong.
    """
    match = ANSWER.search(completion)
    text = match.group(1) if match else completion
    if NONE.fullmatch(text) and (match or text.strip()):
        return frozenset()
    if LISTED.fullmatch(" ".join(text.split())):
        return frozenset(re.findall("[A-Z]", text))
    lines = [LETTERED.fullmatch(line) for line in text.strip().split("\n") if line.strip()]
    named = [line[1] for line in lines if line]
    return frozenset(named) if named and len(named) == len(lines) else None


def judged(completion: str, question: Question) -> list[tuple[bool, bool]]:
    """For every option: it is correct; it was judged right (none is in an unreadable answer)."""
    named, correct = named_set(completion), set(question.answer.split(","))
    return [
        (letter in correct, named is not None and (letter in named) == (letter in correct))
        for letter, _ in question.options
    ]


def rule(completion: str, question: Question) -> bool:
    """Every option of the question is judged right."""
    return named_set(completion) == frozenset(filter(None, question.answer.split(",")))
