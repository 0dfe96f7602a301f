"""MLVU: seven tasks of multiple choice about long videos; two that ask for texts are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from videothinker.evaluation.benchmarks.choices import read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import final
from videothinker.types import Question

STEMS = (
    "1_plotQA",
    "2_needle",
    "3_ego",
    "4_count",
    "5_order",
    "6_anomaly_reco",
    "7_topic_reasoning",
    "8_sub_scene",
    "9_summary",
)
"""The files of its development set."""
FOLDERS = {stem.partition("_")[2]: stem for stem in STEMS}
"""Task -> the folder of its videos, which is called like its file."""
TASKS = {"findNeedle": "needle", "subPlot": "sub_scene"}
"""`question_type`, where it is not the name of the task."""
WRITTEN = ("sub_scene", "summary")
"""Tasks whose answer is a text that a paid model judges."""


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The folder of nine files; the answer is a text, and of equal texts the last is meant.

    Two questions of 2175 have it not among their options, so that no letter is right.
    """
    for record in records:
        kind = record.text("question_type")
        task = TASKS.get(kind, kind)
        if task not in FOLDERS:
            raise record.problem("question_type", f"{kind!r} is not one of MLVU's nine tasks.")
        if task in WRITTEN:
            yield task
            continue
        options = read_options(record, "candidates", lettered=False)
        words = record.get("answer")
        if not isinstance(words, str):
            raise record.problem("answer", f"{words!r} is not the text of an option. Correct it.")
        right = [letter for letter, text in options if text == words]
        yield Question(
            id=f"{task}/{record.number}",
            video=f"MLVU/video/{FOLDERS[task]}/{record.text('video')}",
            text=str(record.get("question")),
            options=options,
            answer=right[-1] if right else "",
            category=task,
        )


def rule(completion: str, question: Question) -> bool:
    """What stands before the first closing bracket; without one, the letter and nothing else."""
    before, bracket, _ = final(completion).partition(")")
    return (before[-1:] if bracket else before) == question.answer != ""
