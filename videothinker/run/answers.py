"""A model's answers to the validation questions, as a Parquet file beside the model.

Two ways of drawing: "sampled" as training samples, "likeliest" the most likely completion. Only
whole answers are in it: a question that was left out has no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.files import write_table
from videothinker.types import Completion, Wording

ANSWERS = "validation.parquet"
Drawing = Literal["sampled", "likeliest"]
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("drawing", pa.string()),
        ("completion", pa.string()),
        ("token_ids", pa.list_(pa.int64())),
        ("logprobs", pa.list_(pa.float32())),
    ],
    metadata={b"videothinker.schema": b"1"},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer to one question."""

    id: str
    """The question's."""
    drawing: Drawing
    completion: str
    token_ids: np.ndarray
    """[T] int64, the end token included."""
    logprobs: np.ndarray
    """[T] float32, of the distribution it was drawn from."""


def answer_of(question: str, drawing: Drawing, completion: Completion) -> Answer:
    """What is kept of a completion: not the weights that it was sampled with."""
    return Answer(
        id=question,
        drawing=drawing,
        completion=completion.text,
        token_ids=completion.token_ids,
        logprobs=completion.logprobs,
    )


def beside(wording: Wording) -> str:
    """The file of answers in a run's second wording."""
    return f"validation-{wording}.parquet"


def write_answers(folder: Path, answers: Sequence[Answer], name: str = ANSWERS) -> Path:
    """Replaces a file of FOLDER, usually validation.parquet, and returns it."""
    write_table(folder / name, pa.Table.from_pylist([*map(asdict, answers)], schema=SCHEMA))
    return folder / name


def read_answers(folder: Path, drawing: Drawing, name: str = ANSWERS) -> dict[str, Answer]:
    """The answers of one kind by their question's id."""
    path = folder / name
    try:
        table = pq.read_table(path, filters=[("drawing", "=", drawing)])
        table = table.select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path}: no file of a model's answers ({reason}). It is written after each stage when"
            " data.validation names questions"
        ) from error
    rows = table.to_pylist()
    for row in rows:
        row["token_ids"] = np.array(row["token_ids"], np.int64)
        row["logprobs"] = np.array(row["logprobs"], np.float32)
    return {row["id"]: Answer(**row) for row in rows}
