"""Rollouts on disk: every group of a step as a row of a Parquet file, typed and versioned.

RUN/rollouts/STAGE-STEP.parquet, the step with six digits
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.errors import InputError
from videothinker.types import ScoredGroup

ROLLOUTS = "rollouts"
SCHEMA_VERSION = "2"
TEXT_COLUMNS = (
    *("stage", "prompt_id", "video", "text", "answer", "category", "worker"),
    *("options.list.element.letter", "options.list.element.text"),
    *("completions.list.element", "finish_reasons.list.element"),
)
"""As Parquet names them. Only these repeat themselves enough for a dictionary: one of numbers that
are nearly all different takes as long as all the rest of the writing, and makes the file larger."""


def rollouts_file(run: Path, stage: str, step: int) -> Path:
    """Where the groups of a step are; within the run, whatever a stage is called."""
    return run / ROLLOUTS / f"{Path(stage).name}-{step:06d}.parquet"


def rollout_steps(run: Path, stage: str) -> list[int]:
    """The steps of a stage that have a file, in order."""
    parts = [file.stem.rpartition("-") for file in (run / ROLLOUTS).glob("*.parquet")]
    return sorted(int(step) for of, _, step in parts if of == stage and step.isdecimal())


def read_groups(
    run: Path, stage: str, step: int, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A step's groups, with those of the columns that there are; none where there is no file.

    InputError where it cannot be read: copied in part, or damaged.
    """
    file = rollouts_file(run, stage, step)
    if not file.is_file():
        return []
    wanted = None if columns is None else list(columns)
    try:
        rows: list[dict[str, Any]] = pq.ParquetFile(file).read(wanted).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{file}: these rollouts cannot be read ({reason})") from error
    return rows


def rollout_table(stage: str, step: int, groups: Sequence[ScoredGroup]) -> pa.Table:
    """The groups of one step; "rewards" is the sum trained on, "reward_NAME" are its parts.
    "weights_versions" is each token's, "weights_version" the oldest of them.
    """
    rows = [_row(stage, step, group) for group in groups]
    return pa.Table.from_pylist(rows, schema=_schema(groups))


def _schema(groups: Sequence[ScoredGroup]) -> pa.Schema:
    names = dict.fromkeys(name for group in groups for name in group.rewards)
    option = pa.struct([("letter", pa.string()), ("text", pa.string())])
    logprobs = pa.list_(pa.list_(pa.float32()))
    fields = [
        ("stage", pa.string()),
        ("step", pa.int64()),
        ("prompt_id", pa.string()),
        ("video", pa.string()),
        ("text", pa.string()),
        ("options", pa.list_(option)),
        ("answer", pa.string()),
        ("category", pa.string()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("completions", pa.list_(pa.string())),
        ("finish_reasons", pa.list_(pa.string())),
        ("token_ids", pa.list_(pa.list_(pa.int64()))),
        ("logprobs", logprobs),
        ("anchor_logprobs", logprobs),
        ("rewards", pa.list_(pa.float32())),
        ("advantages", pa.list_(pa.float32())),
        ("weights_version", pa.int64()),
        ("weights_versions", pa.list_(pa.list_(pa.int32()))),
        ("worker", pa.string()),
        ("seconds", pa.float64()),
        ("prompt_tokens", pa.int64()),
    ]
    fields += [(f"reward_{name}", pa.list_(pa.float32())) for name in names]
    return pa.schema(fields, metadata={"videothinker.schema": SCHEMA_VERSION})


def _row(stage: str, step: int, scored: ScoredGroup) -> dict[str, Any]:
    group, question = scored.group, scored.group.question
    parts = {f"reward_{name}": values for name, values in scored.rewards.items()}
    anchor = scored.anchor_logprobs
    return {
        "stage": stage,
        "step": step,
        "prompt_id": question.id,
        "video": question.video,
        "text": question.text,
        "options": [{"letter": letter, "text": text} for letter, text in question.options],
        "answer": question.answer,
        "category": question.category,
        "start": question.start,
        "end": question.end,
        "completions": [completion.text for completion in group.completions],
        "finish_reasons": [completion.finish_reason for completion in group.completions],
        "token_ids": [completion.token_ids for completion in group.completions],
        "logprobs": [completion.logprobs for completion in group.completions],
        "anchor_logprobs": None if anchor is None else list(anchor),
        "rewards": np.sum(list(scored.rewards.values()), axis=0, dtype=np.float32),
        "advantages": scored.advantages,
        "weights_version": group.weights_version,
        "weights_versions": [completion.weights_versions for completion in group.completions],
        "worker": group.worker,
        "seconds": group.seconds,
        "prompt_tokens": group.prompt_tokens,
        **parts,
    }
