"""Video-Holmes: inference in short films, six options, seven types of question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from videothinker.evaluation.benchmarks.choices import as_question, letter_of, read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import last_block
from videothinker.types import Question


def reference(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """Options have no letters here; `problem` would hold them a second time."""
    for record in records:
        kind = record.text("question_type")
        yield as_question(record, kind, text="question", identity="question_id", lettered=False)


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """test_Video-Holmes.json; its question numbers may begin anew with every video."""
    counts = Counter(str(record.get("Question ID")) for record in records)
    for record in records:
        options = read_options(record, "Options", lettered=False)
        number, video = str(record.get("Question ID")), record.text("video ID")
        yield Question(
            id=number if max(counts.values()) == 1 else f"{video}/{number}",
            video=f"Video-Holmes/videos/{video}.mp4",
            text=record.text("Question"),
            options=options,
            answer=letter_of(record, "Answer", options),
            category=record.text("Question Type"),
        )


def rule(completion: str, question: Question) -> bool:
    """The official search, A first: "A ", "A:" or "[A" for any letter, and only then a bare one."""
    text = last_block(completion, completion)
    known = [letter for letter, _ in question.options]
    marked = [x for x in known if f"{x} " in text or f"{x}:" in text or f"[{x}" in text]
    found = marked or [letter for letter in known if letter in text]
    return found[:1] == [question.answer]
