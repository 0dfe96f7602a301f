"""The coefficient that holds a divergence at a target, on a made-up policy."""

import math
from typing import Any

import pytest

from videothinker.config.kl import KLConfig
from videothinker.method.guard import HeldCoefficient


def held(direction: str, target: float) -> HeldCoefficient:
    return HeldCoefficient(
        KLConfig.model_validate({"direction": direction, "target": target, "coefficient": 0.01})
    )


def settled(direction: str, target: float, answer: Any) -> list[float]:
    """The last tenth of 400 steps of a policy that follows the coefficient with a delay."""
    controller, kl, seen = held(direction, target), 0.0, []
    for _ in range(400):
        kl += 0.2 * (answer(controller.value) - kl)
        controller.watch(kl)
        seen.append(kl)
    return seen[-40:]


def test_a_repelled_policy_is_held_at_the_target() -> None:
    seen = settled("repel", 0.3, lambda coefficient: 5 * coefficient)
    assert seen == pytest.approx([0.3] * 40, rel=0.02)


def test_an_attracted_policy_is_held_at_the_target() -> None:
    seen = settled("attract", 0.3, lambda coefficient: 1 / (1 + 100 * coefficient))
    assert seen == pytest.approx([0.3] * 40, rel=0.02)


def test_too_little_divergence_raises_repulsion_and_lowers_attraction() -> None:
    away, towards = held("repel", 0.3), held("attract", 0.3)
    away.watch(0.15)
    towards.watch(0.15)
    assert away.value == pytest.approx(0.01 * math.exp(0.05))
    assert towards.value == pytest.approx(0.01 * math.exp(-0.05))


def test_the_way_back_is_three_times_as_fast() -> None:
    away, towards = held("repel", 0.3), held("attract", 0.3)
    away.watch(0.45)
    towards.watch(0.45)
    assert away.value == pytest.approx(0.01 * math.exp(-0.15))
    assert towards.value == pytest.approx(0.01 * math.exp(0.15))


def test_no_spike_moves_the_coefficient_by_more_than_its_limits() -> None:
    far, opposite = held("repel", 0.3), held("repel", 0.3)
    far.watch(1000.0)
    opposite.watch(-1000.0)
    assert far.value == pytest.approx(0.01 * math.exp(-0.5))
    assert opposite.value == pytest.approx(0.01 * math.exp(0.1))


def test_a_target_out_of_reach_does_not_drive_the_coefficient_away() -> None:
    controller = held("repel", 0.3)
    for _ in range(1000):
        controller.watch(0.0)
    assert controller.value == 1.0


def test_a_step_without_a_divergence_changes_no_coefficient() -> None:
    controller = held("repel", 0.3)
    controller.watch(None)
    assert controller.value == 0.01
