"""Prepared questions on disk: Parquet files, typed and versioned, that every reader shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.files import write_table
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
"""A question's fields."""


def write_questions(path: Path | str, questions: Sequence[Question]) -> None:
    """Writes the questions, in order, so that the file appears whole or not at all."""
    path = Path(path)
    refuse_duplicates(path, (question.id for question in questions))
    rows = [
        asdict(question)
        | {"options": [{"letter": letter, "text": text} for letter, text in question.options]}
        for question in questions
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=SCHEMA))


def read_questions(path: Path | str) -> list[Question]:
    """The questions of a file that `write_questions` made."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of questions. {REMEDY}")
    try:
        with pq.ParquetFile(path) as file:  # read_table would load pandas into every driver
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a Parquet file ({reason}). {REMEDY}") from error
    version = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, this version of videothinker reads "
            f"{SCHEMA_VERSION}. {REMEDY}"
        )
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing. {REMEDY}")
    table = _typed(path, table)
    refuse_duplicates(path, table.column("id").to_pylist())
    rows = table.to_pylist()
    for row in rows:
        row["options"] = tuple((option["letter"], option["text"]) for option in row["options"])
    return [Question(**row) for row in rows]


def _typed(path: Path, table: pa.Table) -> pa.Table:
    """The columns as SCHEMA has them; only a question's part of the video may be left open."""
    try:
        typed = table.select(SCHEMA.names).cast(SCHEMA)
        typed.validate(full=True)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: its columns are not a question's ({reason}). {REMEDY}"
        ) from error
    for name in SCHEMA.names[:-2]:
        if typed.column(name).null_count:
            raise InputError(f"{path}: {name}: a question has none. {REMEDY}")
    return typed


def refuse_duplicates(path: Path, ids: Iterable[str]) -> None:
    """An id names one question: answers and results are matched by it."""
    again = [identity for identity, count in Counter(ids).items() if count > 1]
    if again:
        raise InputError(
            f"{path}: id: {len(again)} of the questions' ids are there more than once, the first "
            f"is {again[0]}. {REMEDY}"
        )
