"""LVBench: hour-long videos, four options; a question may be of several types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import letter_of
from videothinker.evaluation.benchmarks.records import SEVERAL, FileRecord, in_file
from videothinker.evaluation.rules import final
from videothinker.types import Question

OPTION = re.compile(r"\n\s*\(([A-Z])\)\s*")


def opened(path: Path) -> list[FileRecord]:
    """One record a question; the release has one line a video, its questions in `qa`, and copies
    of it one line a question."""
    found = []
    for video in in_file(path):
        if "qa" not in video.fields and "question" in video.fields:
            found.append(video)
            continue
        questions = video.get("qa")
        if not isinstance(questions, list) or not all(isinstance(one, dict) for one in questions):
            raise video.problem("qa", "not a list of questions. Fetch the file again.")
        for number, fields in enumerate(questions, start=1):
            where = f"{video.where}: question {number}"
            found.append(replace(video, where=where, fields={**fields, "key": video.text("key")}))
    if not found:
        raise InputError(f"{path}: there are no questions in it. Fetch the file again.")
    return found


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """video_info.meta.jsonl; the options are lines "(A) text" of the question.

    `time_reference` says where the answer is to be seen. The whole video is asked about, so it is
    not a part to watch.
    """
    for record in records:
        text, *marked = OPTION.split("\n" + record.text("question").strip())
        letters, texts = marked[::2], marked[1::2]
        if len(letters) < 2 or letters != list(ascii_uppercase[: len(letters)]):
            raise record.problem(
                "question", "has no lines '(A) ...', '(B) ...' and so on, in order. Correct it."
            )
        options = tuple(zip(letters, (one.strip() for one in texts), strict=True))
        yield Question(
            id=str(record.get("uid")),
            video=f"LVBench/videos/{record.text('key')}.mp4",
            text=text.strip(),
            options=options,
            answer=letter_of(record, "answer", options),
            category=SEVERAL.join(_types(record)),
        )


def _types(record: FileRecord) -> list[str]:
    types = record.get("question_type")
    if not isinstance(types, list) or not types or not all(isinstance(one, str) for one in types):
        raise record.problem("question_type", f"{types!r} is not a list of types. Correct it.")
    return sorted(set(types))


def rule(completion: str, question: Question) -> bool:
    """The first character in the first brackets, or of the first word where there are none."""
    text = final(completion).split(")")[0]
    word = text.split("(")[1] if "(" in text else text
    return word.strip()[:1] == question.answer
