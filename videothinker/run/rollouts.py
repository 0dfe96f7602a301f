"""Rollouts on disk: every group of a step as a row of a Parquet file, typed and versioned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from videothinker.types import ScoredGroup

SCHEMA_VERSION = "2"
TEXT_COLUMNS = (
    *("stage", "prompt_id", "video", "text", "answer", "category", "worker"),
    *("options.list.element.letter", "options.list.element.text"),
    *("completions.list.element", "finish_reasons.list.element"),
)
"""As Parquet names them. Only these repeat themselves enough for a dictionary: one of numbers that
are nearly all different takes as long as all the rest of the writing, and makes the file larger."""


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
