"""Prepared questions on disk: Parquet files, typed and versioned, that every reader shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.files import write_table
from videothinker.method.answers import KINDS, LETTERED
from videothinker.types import Question

SCHEMA_VERSION = "1"
VERSION_KEY = b"videothinker.schema"
REMEDY = "Write it again with `videothinker prepare`; docs/data.md has the columns."

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
        ("kind", pa.string()),
        ("tolerance", pa.float64()),
        ("also", pa.list_(pa.string())),
        ("weight", pa.float64()),
    ],
    metadata={VERSION_KEY: SCHEMA_VERSION.encode()},
)
"""A question's fields."""
NEEDED = ("id", "video", "text", "options", "answer")
LEFT_OPEN: dict[str, Any] = {
    "category": "",
    "start": None,
    "end": None,
    "kind": "multi",
    "tolerance": None,
    "also": (),
    "weight": None,
}
"""What stands where a column is missing, or a value in it."""


def write_questions(path: Path | str, questions: Sequence[Question]) -> None:
    """Writes the questions, in order, so that the file appears whole or not at all."""
    path = Path(path)
    refuse_duplicates(path, (question.id for question in questions))
    write_table(path, as_table(questions))


def as_table(questions: Sequence[Question]) -> pa.Table:
    """As SCHEMA has them; by columns, because a million rows take long."""
    columns = {field.name: list(map(attrgetter(field.name), questions)) for field in SCHEMA}
    ends = np.cumsum([0, *map(len, columns["options"])], dtype=np.int32)
    options = list(chain.from_iterable(columns["options"]))
    pairs = pa.StructArray.from_arrays(
        [pa.array(list(map(itemgetter(place), options)), pa.string()) for place in (0, 1)],
        fields=list(SCHEMA.field("options").type.value_type),
    )
    arrays = [
        pa.ListArray.from_arrays(ends, pairs)
        if field.name == "options"
        else pa.array(columns[field.name], field.type)
        for field in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def read_weights(path: Path | str, column: str) -> dict[str, float]:
    """What each question of a file weighs, as a column of it says."""
    path, table = Path(path), _table(Path(path))
    if column not in table.column_names:
        raise InputError(
            f"{path}: column {column!r} is missing, there are {', '.join(table.column_names)}. Name"
            " one of them, or add it: a number from 0 on for each question"
        )
    kind = table.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(
            f"{path}: column {column!r} holds {kind}, and weights are numbers from 0 on"
        )
    weights = table.column(column).to_pylist()
    for row, weight in enumerate(weights, start=1):
        if weight is None or not 0 <= weight < float("inf"):
            raise InputError(
                f"{path}: row {row}: column {column!r} is {weight}, and weights are numbers from 0"
                " on. Mend it"
            )
    return dict(zip(table.column("id").to_pylist(), map(float, weights), strict=True))


def read_questions(path: Path | str) -> list[Question]:
    """The questions of a file that `write_questions` made."""
    path, table = Path(path), _table(Path(path))
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing. {REMEDY}")
    table = _typed(path, table)
    refuse_duplicates(path, table.column("id").to_pylist())
    questions = [_question(row) for batch in table.to_batches() for row in batch.to_pylist()]
    for question in questions:
        if (found := fault(question)) is not None:
            raise InputError(f"{path}: question {question.id}: {found}. {REMEDY}")
    return questions


def fault(question: Question) -> str | None:
    """What is wrong with a question, beginning with the field."""
    if question.kind not in KINDS:
        return f"kind: {question.kind!r} is not one of {', '.join(KINDS)}"
    letters = [letter for letter, _ in question.options]
    if question.kind in LETTERED:
        absent = {*question.answer.split(",")} - {*letters, ""}
        if absent and not letters:
            return f"options: there are none, and the answer to a {question.kind} question is one"
        if absent:
            return f"answer: {question.answer!r} is not among the options {', '.join(letters)}"
    elif KINDS[question.kind].read(question.answer) is None:
        wanted = KINDS[question.kind].asked
        return f"answer: {question.answer!r} is not what a {question.kind} is: {wanted}"
    return None


def _question(row: dict[str, Any]) -> Question:
    filled = {
        name: row[name] if row.get(name) is not None else open_ for name, open_ in LEFT_OPEN.items()
    }
    options = tuple((option["letter"], option["text"]) for option in row["options"])
    filled["also"] = tuple(filled["also"])
    return Question(**row | filled | {"options": options})


def _table(path: Path) -> pa.Table:
    """All that a file holds."""
    if not path.is_file():
        raise InputError(f"{path}: no such file of questions. {REMEDY}")
    try:
        with pq.ParquetFile(path) as file:  # read_table would load pandas into every driver
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a Parquet file ({reason}). {REMEDY}") from error
    version = (table.schema.metadata or {}).get(VERSION_KEY, SCHEMA_VERSION.encode()).decode()
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version}, this version of videothinker reads "
            f"{SCHEMA_VERSION}. {REMEDY}"
        )
    return table


def _typed(path: Path, table: pa.Table) -> pa.Table:
    """The columns as SCHEMA has them, of those that are there."""
    try:
        there = [field for field in SCHEMA if field.name in table.column_names]
        typed = table.select([field.name for field in there]).cast(pa.schema(there))
        typed.validate(full=True)
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: its columns are not a question's ({reason}). {REMEDY}"
        ) from error
    for name in NEEDED:
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
