"""VSI-Bench: eight tasks about the space that a video walks through; four ask for a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np

from videothinker.evaluation.benchmarks.choices import letter_of, read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import final
from videothinker.types import Question

NUMBERS = (
    "object_abs_distance",
    "object_counting",
    "object_size_estimation",
    "room_size_estimation",
)
CHOICES = ("object_rel_distance", "route_planning", "obj_appearance_order")
DIRECTION = "object_rel_direction"
"""The task of three types: easy, medium and hard."""
ALLOWED = 1 - np.linspace(0.5, 0.95, 10)
"""How far from the right number, as a share of it; an answer is worth the share of these it keeps
within."""


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """test.jsonl, or the Parquet file; the category is the task, and of directions their type."""
    for record in records:
        kind = record.text("question_type")
        number = kind in NUMBERS
        options = () if number else read_options(record, "options", lettered=True)
        yield Question(
            id=str(record.get("id")),
            video=f"VSI-Bench/{record.text('dataset')}/{record.text('scene_name')}.mp4",
            text=record.text("question"),
            options=options,
            answer=_number(record) if number else letter_of(record, "ground_truth", options),
            category=_category(record, kind),
            kind="number" if number else "multi",
        )


def _category(record: FileRecord, kind: str) -> str:
    task, _, hardness = kind.rpartition("_")
    if task == DIRECTION and hardness in ("easy", "medium", "hard"):
        return f"{task}/{hardness}"
    if kind not in NUMBERS + CHOICES:
        raise record.problem("question_type", f"{kind!r} is not one of VSI-Bench's types.")
    return kind


def _number(record: FileRecord) -> str:
    written = record.text("ground_truth")
    value = _as_number(written)
    if value is None or not isfinite(value) or value <= 0:
        raise record.problem("ground_truth", f"{written!r} is not a number above 0. Correct it.")
    return written


def rule(completion: str, question: Question) -> float:
    """The first word: a letter in either case, or a number, which counts the nearer it comes."""
    word = final(completion).split(" ")[0].rstrip(".").strip()
    if question.kind != "number":
        return float(word.lower() == question.answer.lower())
    given, right = _as_number(word), float(question.answer)
    return 0.0 if given is None else float(np.mean(abs(given - right) / right <= ALLOWED))


def _as_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None
