"""LongVideoBench, asked without its subtitles: four durations, 17 categories of question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from string import ascii_uppercase

from videothinker.evaluation.benchmarks.choices import Options, read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import first_letter
from videothinker.types import Question

COLUMNS = tuple(f"option{number}" for number in range(5))
"""Of the Parquet file, where the JSON file has a list `candidates`."""
ABSENT = (None, "N/A")
"""What a column holds where a question has fewer options."""
PHRASES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
"""Taken away one after the other, in this spelling alone, before a letter is looked for."""


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """lvb_val.json or its Parquet file; questions of the test set come without solutions."""
    for record in records:
        chosen = record.fields.get("correct_choice")
        if chosen is None or chosen == -1:
            yield "without a solution"
            continue
        options = _options(record)
        if isinstance(chosen, bool) or chosen not in range(len(options)):
            raise record.problem(
                "correct_choice",
                f"{chosen!r} is no place among {len(options)} options, counted from 0. Correct it.",
            )
        yield Question(
            id=record.text("id"),
            video=f"LongVideoBench/videos/{record.text('video_path')}",
            text=record.text("question"),
            options=options,
            answer=ascii_uppercase[chosen],
            category=f"{record.get('duration_group')}/{record.text('question_category')}",
        )


def _options(record: FileRecord) -> Options:
    if "candidates" not in record.fields:
        columns = [record.fields.get(name) for name in COLUMNS]
        given = [text for text in columns if text not in ABSENT]
        if not given or given != columns[: len(given)]:
            raise record.problem(
                COLUMNS[0], "option0 to option4 are not filled from the first on. Fetch it again."
            )
        record = replace(record, fields={**record.fields, "candidates": given})
    return read_options(record, "candidates", lettered=False)


def rule(completion: str, question: Question) -> bool:
    """The first of A to E once phrases such as "The best answer is" are taken away."""
    return first_letter(completion, "ABCDE", PHRASES) == question.answer
