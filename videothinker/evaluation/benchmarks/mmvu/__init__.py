"""MMVU: knowledge of many subjects, five options each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from videothinker.evaluation.benchmarks.choices import as_question, letter_of, read_options
from videothinker.evaluation.benchmarks.records import FileRecord
from videothinker.evaluation.rules import CONCLUDING, END, final, settled
from videothinker.types import Question

MARKUP = re.compile(r"</?answer>|\*\*|[$`{}]|\\(?:boxed|text|mathrm|mathbf)\b")
"""What may stand around a letter or a word of the answer: its prompt asks for "$LETTER"."""
BARE = re.compile(r"\W*([a-e])\W*")
CONCLUSIONS = re.compile(
    rf"{CONCLUDING.pattern}"
    rf"|(?i:choose|pick|select|go\s+with|it\s+is|it's)\s+[(\[\"']*([A-Z]){END}"
    r"|\b([A-Z])\s+(?:is|seems|must\s+be)\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|answer)\b"
)
"""Also "I would go with C." and "C is correct"."""


def reference(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The category is the subject, the folder of the video."""
    for record in records:
        subject = PurePosixPath(record.text("video")).parent.name.replace("_", " ")
        yield as_question(record, subject)


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """validation.json: 625 questions with choices, 375 open-ended ones that are left out."""
    for record in records:
        if record.text("question_type") != "multiple-choice":
            yield record.text("question_type")
            continue
        options = read_options(record, "choices", lettered=False)
        metadata = record.get("metadata")
        yield Question(
            id=str(record.get("id")),
            video=re.sub(r"^.*?/videos/", "yale-nlp/MMVU/videos/", record.text("video")),
            text=record.text("question"),
            options=options,
            answer=letter_of(record, "answer", options),
            category=str(metadata.get("subject", "")) if isinstance(metadata, Mapping) else "",
        )


def rule(completion: str, question: Question) -> bool:
    """The letter that the final answer settles on; officially a paid model extracts it."""
    text = MARKUP.sub("", final(completion)).strip()
    bare = BARE.fullmatch(text)
    said = bare[1].upper() if bare else settled(text, question.options, CONCLUSIONS)
    return said == question.answer
