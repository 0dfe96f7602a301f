"""What two runs have left behind, compared without the code that made it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from videothinker.files import read_lines


def asked_order(questions: Path, seed: int, steps: int, size: int) -> list[list[str]]:
    """Ids of each step's questions, from the documented rule alone: an epoch is
    `default_rng([seed, epoch]).permutation`, and a step the next few of endless epochs.
    """
    ids = pq.read_table(questions, columns=["id"]).column("id").to_pylist()
    endless = itertools.chain.from_iterable(
        np.random.default_rng([seed, epoch]).permutation(len(ids)) for epoch in itertools.count()
    )
    return [[ids[place] for place in itertools.islice(endless, size)] for _ in range(steps)]


def trained_order(run: Path, stage: str, steps: int) -> list[list[str]]:
    """Ids of the groups of each of a stage's steps, as they were trained on."""
    found: list[list[str]] = [[] for _ in range(steps)]
    for file in sorted((run / "rollouts").glob(f"{stage}-*.parquet")):
        for row in pq.read_table(file, columns=["step", "prompt_id"]).to_pylist():
            found[row["step"] - 1].append(row["prompt_id"])
    return found


def missing(there: Sequence[Sequence[str]], here: Sequence[Sequence[str]]) -> int:
    """How many of `there` are not, or not as often, in the same step of `here`.

    Each step's questions belong to known epochs, so equal steps are equal epochs.
    """
    pairs = zip(there, here, strict=True)
    return sum((Counter(one) - Counter(other)).total() for one, other in pairs)


OF_THE_MACHINE = ("seconds", "time", "roles", "sync_gb_per_second")


def untimed(run: Path) -> list[dict[str, Any]]:
    """Every step's figures but those of time, and of the machine."""
    lines = read_lines(run / "metrics.jsonl")
    return [{key: line[key] for key in line if key not in OF_THE_MACHINE} for line in lines]


def largest_difference(one: Path, other: Path) -> float:
    """Of two checkpoints' weights; 0 where every bit is the same, infinite where names differ."""
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    if first.keys() != second.keys():
        return float("inf")
    same = all(torch.equal(first[name], second[name]) for name in first)
    apart = max(float((first[name] - second[name]).abs().max()) for name in first)
    return 0.0 if same else apart or float("inf")
