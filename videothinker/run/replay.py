"""The completions that were sampled for a stage before it began, to be replayed or judged, as a
Parquet file in the stage's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.files import write_table
from videothinker.types import Completion

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int64())),
        ("logprobs", pa.list_(pa.float32())),
        ("weights_versions", pa.list_(pa.int32())),
        ("finish_reason", pa.string()),
        ("answer_start", pa.int64()),
    ],
    metadata={b"videothinker.schema": b"1"},
)


def write_replay(file: Path, replay: Mapping[str, tuple[Completion, ...]]) -> None:
    """One row a completion, by their questions' ids; the file is there whole or not at all."""
    rows = [
        {"id": question, **asdict(completion)}
        for question, completions in replay.items()
        for completion in completions
    ]
    write_table(file, pa.Table.from_pylist(rows, schema=SCHEMA))


def read_replay(file: Path) -> dict[str, tuple[Completion, ...]]:
    """The completions of each question, in the order written."""
    try:
        rows = pq.read_table(file, columns=SCHEMA.names).to_pylist()
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{file}: what was sampled for this stage cannot be read ({reason}), and that is done"
            " before its first step only. Start again in another folder: out=DIR"
        ) from error
    replay: dict[str, tuple[Completion, ...]] = {}
    for row in rows:
        question = row.pop("id")
        row["token_ids"] = np.array(row["token_ids"], np.int64)
        row["logprobs"] = np.array(row["logprobs"], np.float32)
        row["weights_versions"] = np.array(row["weights_versions"], np.int32)
        replay[question] = (*replay.get(question, ()), Completion(**row))
    return replay
