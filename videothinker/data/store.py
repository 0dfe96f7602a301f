"""Prepared questions on disk: one Parquet file, typed and versioned, that every reader shares."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.run import atomic_write
from videothinker.types import Question

SCHEMA_VERSION = "1"
VERSION_KEY = b"videothinker.schema"
REMEDY = "Write it again with `videothinker prepare clevrer`."

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("video", pa.string()),
        ("text", pa.string()),
        ("options", pa.list_(pa.struct([("letter", pa.string()), ("text", pa.string())]))),
        ("answer", pa.string()),
        ("category", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
    ],
    metadata={VERSION_KEY: SCHEMA_VERSION.encode()},
)


def write_questions(path: Path | str, questions: Sequence[Question]) -> None:
    """Writes the questions, in order, so that the file appears whole or not at all."""
    rows = [
        {
            "id": question.id,
            "video": question.video,
            "text": question.text,
            "options": [{"letter": letter, "text": text} for letter, text in question.options],
            "answer": question.answer,
            "category": question.category,
            "start": question.start,
            "end": question.end,
        }
        for question in questions
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer)
    atomic_write(Path(path), buffer.getvalue())


def read_questions(path: Path | str) -> list[Question]:
    """The questions of a file that `write_questions` made."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of questions. {REMEDY}")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file ({error}). {REMEDY}") from error
    version = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, this version of videothinker reads "
            f"{SCHEMA_VERSION}. {REMEDY}"
        )
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing. {REMEDY}")
    return [
        Question(
            id=row["id"],
            video=row["video"],
            text=row["text"],
            options=tuple((option["letter"], option["text"]) for option in row["options"]),
            answer=row["answer"],
            category=row["category"],
            start=row["start"],
            end=row["end"],
        )
        for row in table.to_pylist()
    ]
