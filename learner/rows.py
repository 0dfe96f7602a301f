"""What a step packs into rows, and what it adds up over them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from learner.deepspeed_engine import max_over_ranks, mean_over_ranks
from videothinker.config.learner import LearnerConfig
from videothinker.errors import DivergenceError
from videothinker.model.shape import TOKENS_AT_ONCE
from videothinker.types import RolloutGroup

GRAVE = 4
"""Times the tolerance: how far sampler and learner may disagree in a step that is still applied."""


def learning_rate(config: LearnerConfig, step: int, steps: int) -> float:
    """Of one step, counted from 1: up over the warm-up, then level or down to zero after `steps`.

    The last step of the warm-up has the full rate, and so has the one after it.
    """
    warm = config.warmup_steps
    if step <= warm:
        return config.learning_rate * step / warm
    left = (steps - step + 1) / (steps - warm) if config.schedule == "linear" else 1.0
    return config.learning_rate * left


def require_agreement(what: str, gap: float, tolerance: float) -> None:
    """End a run whose sampler and learner hold different opinions; rounding may differ in a step,
    which the driver then warns of.
    """
    if gap > GRAVE * tolerance:
        raise DivergenceError(
            f"{what}: sampler and learner disagree by {gap:.3g} a token, more than {GRAVE}"
            f" times cluster.logprob_tolerance ({tolerance:g}); this update was not made"
        )


class StepTotals:
    """Weighted sums of the groups' statistics; the largest where a name ends in `_max`."""

    def __init__(self) -> None:
        self._stats: list[dict[str, Tensor]] = []
        self._weights: list[float] = []

    def add(self, stats: Sequence[dict[str, Tensor]], weights: Sequence[float]) -> None:
        """Count some groups in, each with its weight."""
        self._stats += stats
        self._weights += weights

    def over_ranks(self) -> dict[str, float]:
        """The same numbers for the whole step, equal on every rank."""
        names = sorted(self._stats[0])
        values = torch.stack([torch.stack([one[name] for name in names]) for one in self._stats])
        means = mean_over_ranks(values.new_tensor(self._weights) @ values)
        largest = max_over_ranks(values.amax(dim=0))
        return {
            name: highest if name.endswith("_max") else mean
            for name, mean, highest in zip(names, means.tolist(), largest.tolist(), strict=True)
        }


def averaged(reports: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of a step's updates the mean of each figure; the largest where a name ends in `_max`."""
    return {
        name: max(values) if name.endswith("_max") else fmean(values)
        for name in reports[0]
        for values in [[report[name] for report in reports]]
    }


def row_sizes(groups: int, longest: int) -> list[int]:
    """How many groups share each row, as evenly as goes, when the longest has so many tokens."""
    rows = -(-groups // max(1, TOKENS_AT_ONCE // longest))
    return [len(range(row, groups, rows)) for row in range(rows)]


def replayed(group: RolloutGroup) -> Tensor:
    """[G] bool: which completions are not the policy's."""
    return torch.arange(len(group.completions)) >= len(group.own)


def padded(rows: Sequence[np.ndarray], like: Tensor) -> Tensor:
    """G arrays of [T] as one zero-padded [G, T] on the same device and of the same type."""
    tensors = [torch.from_numpy(np.array(row)) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True).to(like)
