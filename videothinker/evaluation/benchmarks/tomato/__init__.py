"""TOMATO: six kinds of reasoning over time, three to seven options, videos people made for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

from videothinker.evaluation.benchmarks.choices import read_options
from videothinker.evaluation.benchmarks.records import FileRecord, listed, parse
from videothinker.evaluation.rules import final, settled
from videothinker.types import Question

STEMS = (
    "count",
    "direction",
    "rotation",
    "shape&trend",
    "velocity&frequency",
    "visual_cues",
)
STATED = re.compile(r"Answer is:?\(?([A-Fa-f])\)?")


def opened(path: Path) -> list[FileRecord]:
    """One file's records; the release has them by their number, from 0."""
    entries = parse(path)
    if not isinstance(entries, dict):
        return listed(path, entries)
    records = listed(path, list(entries.values()))
    return [
        replace(record, where=f"{path}: record {number}", fields={**record.fields, "id": number})
        for number, record in zip(entries, records, strict=True)
    ]


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The folder of six files; the category is the reasoning, and then who or what moves."""
    for record in records:
        options = read_options(record, "options", lettered=False)
        reasoning = record.text("motion_type").replace(" ", "_")
        shown, place = record.text("demonstration_type"), record.get("answer")
        if isinstance(place, bool) or place not in range(len(options)):
            raise record.problem(
                "answer",
                f"{place!r} is no place among {len(options)} options, counted from 0. Correct it.",
            )
        yield Question(
            id=f"{reasoning}/{record.get('id')}",
            video=f"TOMATO/videos/{shown}/{record.text('key')}.mp4",
            text=record.text("question"),
            options=options,
            answer=ascii_uppercase[place],
            category=f"{reasoning}/{shown}",
        )


def rule(completion: str, question: Question) -> bool:
    """A letter alone, "B: text" or "Answer is:B"; then a stand-in for the paid judge."""
    text = final(completion)
    plain = {letter for letter, _ in question.options}
    plain |= {f"{letter}: {option}" for letter, option in question.options}
    stated = STATED.fullmatch(text)
    if text.upper() in plain:
        return text[0].upper() == question.answer
    if stated:
        return stated[1].upper() == question.answer
    return settled(text, question.options) == question.answer
