"""Which tokens the learner compares with the sampler, and which only drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import completion, group, run_config

from learner.losses import Assignment, Losses
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.model.checkpoint import budget_of
from videothinker.types import ScoredGroup

POLICY = torch.full((2, 4), -1.0)


class FixedPolicy:
    """Log-probs of -1, whatever it is asked."""

    def __call__(self, *arguments: Any) -> Any:
        return POLICY.clone().requires_grad_(), torch.zeros(2, 4)


def stats(*completions: tuple[list[float], list[int]]) -> dict[str, float]:
    """Of a rank that holds version 7; each completion as log-probs and weights versions."""
    said = [completion("", len(one), logprobs=one, version=held) for one, held in completions]
    scored = ScoredGroup(
        group=group(*said), rewards={}, advantages=np.zeros(2, np.float32), anchor_logprobs=None
    )
    config = run_config(Path("x"), {"name": "a", "questions": "q"})
    task = Assignment(
        model=Path("m"),
        dtype="float32",
        learner=LearnerConfig(),
        kl=KLConfig(),
        temperature=1.0,
        steps=9,
        budget=budget_of(config),
        logprob_tolerance=1.0,
    )
    losses = Losses(
        trainee=FixedPolicy(),  # type: ignore[arg-type]
        task=task,
        anchor_head=None,
        world=1,
        device="cpu",
    )
    _, [found] = losses.of([(scored, None, 1.0)], 0.0, 7)  # type: ignore[list-item]
    return {name: float(value) for name, value in found.items()}


def test_tokens_before_an_update_in_flight_drift_and_those_after_it_are_compared() -> None:
    found = stats(([-1.5, -1.5, -1.1, -1.1], [6, 6, 7, 7]), ([-1.2, -1.2], [7, 7]))
    assert found["fresh_share"] == pytest.approx(4 / 6)
    assert found["logprob_gap"] == pytest.approx((2 * 0.1 + 2 * 0.2) / 6)
    assert found["logprob_gap_max"] == pytest.approx(0.2)
    assert found["logprob_drift"] == pytest.approx(2 * 0.5 / 6)


def test_a_group_of_older_weights_alone_is_not_compared() -> None:
    found = stats(([-1.5] * 4, [6] * 4), ([-1.5] * 2, [6] * 2))
    assert found["fresh_share"] == 0
    assert found["logprob_gap_max"] == 0
    assert found["logprob_drift"] == pytest.approx(0.5)
