"""The evaluation files of the published code: one list of records, a little different each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath

from videothinker.evaluation.benchmarks.categories import mvbench_tasks, tempcompass_task
from videothinker.evaluation.benchmarks.choices import (
    Options,
    check_agreement,
    letter_of,
    read_options,
)
from videothinker.evaluation.benchmarks.records import Record
from videothinker.types import Question

FIELDS = frozenset({"problem", "options", "solution", "video"})
"""What all of them have; problem_id, data_type and problem_type are not in every one."""


def mmvu(records: Sequence[Record]) -> Iterator[Question | str]:
    """The category is the subject, the folder of the video."""
    for record in records:
        subject = PurePosixPath(record.text("video")).parent.name.replace("_", " ")
        yield _question(record, subject)


def video_holmes(records: Sequence[Record]) -> Iterator[Question | str]:
    """Options have no letters here; `problem` would hold them a second time."""
    for record in records:
        yield _question(
            record,
            record.text("question_type"),
            text="question",
            identity="question_id",
            lettered=False,
        )


def mvbench(records: Sequence[Record]) -> Iterator[Question | str]:
    """The category is the task."""
    for record, task in zip(records, mvbench_tasks(records), strict=True):
        yield _question(record, task)


def tempcompass(records: Sequence[Record]) -> Iterator[Question | str]:
    """The category is task/dimension."""

    def category(record: Record, options: Options) -> str:
        task = tempcompass_task(record.text("problem"), options, record.fields.get("mc_question"))
        return f"{task}/{record.text('dim')}"

    for record in records:
        yield _question(record, category)


def videomme(records: Sequence[Record]) -> Iterator[Question | str]:
    """The category is duration/kind of task."""
    for record in records:
        category = f"{record.text('duration')}/{record.text('task_type')}"
        yield _question(record, category, identity="question_id")


def _question(
    record: Record,
    category: str | Callable[[Record, Options], str],
    *,
    text: str = "problem",
    identity: str = "problem_id",
    lettered: bool = True,
) -> Question | str:
    """The record's question, or why it is left out. Fields that are not named are ignored."""
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
        category=category if isinstance(category, str) else category(record, options),
        **clip(record),
    )


def clip(record: Record) -> dict[str, float | None]:
    """The part of the video to watch."""
    start, end = record.seconds("start"), record.seconds("end")
    if start is not None and end is not None and start >= end:
        raise record.problem("end", f"{end} s is not after the start at {start} s.")
    return {"start": start, "end": end}
