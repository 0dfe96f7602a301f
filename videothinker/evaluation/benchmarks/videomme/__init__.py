"""Video-MME without subtitles: three durations, twelve kinds of task, four options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from videothinker.evaluation.benchmarks.choices import as_question, letter_of, read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import first_letter
from videothinker.types import Question

PREFIXES = (
    *("The best answer is", "The correct answer is", "The answer is", "The answer"),
    *("Answer:", "Option:", "The correct answer", "The correct option"),
)
"""Taken away in this order, as they are written. A missing comma in the official list keeps four
more: of "Best option: C" the B counts there, and so here."""


def category(record: FileRecord) -> str:
    """Both kinds of file name it alike."""
    return f"{record.text('duration')}/{record.text('task_type')}"


def reference(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The release's fields, and the reference's beside them."""
    for record in records:
        yield as_question(record, category(record), identity="question_id")


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """One Parquet file."""
    for record in records:
        options = read_options(record, "options", lettered=True)
        yield Question(
            id=record.text("question_id"),
            video=f"lmms-lab/Video-MME/data/{record.text('videoID')}.mp4",
            text=record.text("question"),
            options=options,
            answer=letter_of(record, "answer", options),
            category=category(record),
        )


def rule(completion: str, question: Question) -> bool:
    """The first of A, B, C, D once phrases such as "The best answer is" are taken away."""
    return first_letter(completion, "ABCD", PREFIXES) == question.answer
