"""Rollouts on disk: every group of a step as a row of a Parquet file, typed and versioned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from videothinker.errors import InputError
from videothinker.files import write_table
from videothinker.run.rollout_files import TEXT_COLUMNS, holding_file, rollout_table, rollouts_file
from videothinker.types import ScoredGroup

SCHEMA_VERSION = "3"

OPTION = pa.struct([("letter", pa.string()), ("text", pa.string())])
TEXTS, NUMBERS = pa.list_(pa.string()), pa.list_(pa.float32())
Column = tuple[pa.DataType, Callable[[ScoredGroup], Any]]
COLUMNS: dict[str, Column] = {
    "prompt_id": (pa.string(), lambda scored: scored.group.question.id),
    "video": (pa.string(), lambda scored: scored.group.question.video),
    "also": (TEXTS, lambda scored: scored.group.question.also),
    "text": (pa.string(), lambda scored: scored.group.question.text),
    "options": (
        pa.list_(OPTION),
        lambda scored: [{"letter": a, "text": text} for a, text in scored.group.question.options],
    ),
    "answer": (pa.string(), lambda scored: scored.group.question.answer),
    "category": (pa.string(), lambda scored: scored.group.question.category),
    "kind": (pa.string(), lambda scored: scored.group.question.kind),
    "wording": (pa.string(), lambda scored: scored.group.question.wording),
    "tolerance": (pa.float64(), lambda scored: scored.group.question.tolerance),
    "start": (pa.float64(), lambda scored: scored.group.question.start),
    "end": (pa.float64(), lambda scored: scored.group.question.end),
    "completions": (TEXTS, lambda scored: [c.text for c in scored.group.completions]),
    "finish_reasons": (TEXTS, lambda scored: [c.finish_reason for c in scored.group.completions]),
    "token_ids": (
        pa.list_(pa.list_(pa.int64())),
        lambda scored: [c.token_ids for c in scored.group.completions],
    ),
    "logprobs": (pa.list_(NUMBERS), lambda scored: [c.logprobs for c in scored.group.completions]),
    "anchor_logprobs": (pa.list_(NUMBERS), lambda scored: scored.anchor_logprobs),
    "rewards": (
        NUMBERS,
        lambda scored: np.sum(list(scored.rewards.values()), axis=0, dtype=np.float32),
    ),
    "advantages": (NUMBERS, lambda scored: scored.advantages),
    "left_out": (pa.bool_(), lambda scored: scored.left_out),
    "weights_version": (pa.int64(), lambda scored: scored.group.weights_version),
    "weights_versions": (
        pa.list_(pa.list_(pa.int32())),
        lambda scored: [c.weights_versions for c in scored.group.completions],
    ),
    "worker": (pa.string(), lambda scored: scored.group.worker),
    "seconds": (pa.float64(), lambda scored: scored.group.seconds),
    "prompt_tokens": (pa.int64(), lambda scored: scored.group.prompt_tokens),
}
"""Of a group's row: what it holds, as which type. "rewards" is the sum trained on; "left_out" says
that nobody trained on it (`sampling.refill`); "weights_versions" is each token's, "weights_version"
the oldest of them."""


def read_groups(
    run: Path, stage: str, step: int, columns: Sequence[str] | None = None, *, every: bool = False
) -> list[dict[str, Any]]:
    """The groups that a step trained on, with those of the columns that there are; none where there
    is no file. `every`: also those that were sampled and left out.

    InputError where it cannot be read: copied in part, or damaged.
    """
    wanted = None if columns is None else [*columns, "left_out"]
    try:
        table = rollout_table(run, stage, step, wanted)
        rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        reason, file = str(error).partition("\n")[0], holding_file(run, stage, step)
        raise InputError(f"{file}: these rollouts cannot be read ({reason})") from error
    return [row for row in rows if not row.pop("left_out", False) or every]


def write_groups(run: Path, stage: str, step: int, groups: Sequence[ScoredGroup]) -> Path:
    """Replaces a step's file and returns it; "reward_NAME" are the parts of "rewards"."""
    columns: dict[str, Column] = {
        "stage": (pa.string(), lambda _: stage),
        "step": (pa.int64(), lambda _: step),
        **COLUMNS,
    }
    for name in dict.fromkeys(name for scored in groups for name in scored.rewards):
        columns[f"reward_{name}"] = (NUMBERS, partial(_part, name))
    fields = [(name, kind) for name, (kind, _) in columns.items()]
    schema = pa.schema(fields, metadata={"videothinker.schema": SCHEMA_VERSION})
    values = {name: [of(scored) for scored in groups] for name, (_, of) in columns.items()}
    file, table = rollouts_file(run, stage, step), pa.Table.from_pydict(values, schema=schema)
    write_table(file, table, use_dictionary=list(TEXT_COLUMNS))
    return file


def _part(name: str, scored: ScoredGroup) -> Any:
    return scored.rewards.get(name)
