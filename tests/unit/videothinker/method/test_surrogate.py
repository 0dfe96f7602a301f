"""Each switch of the objective against numbers worked out by hand and the formulas as published."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from batches import random_batch, slope
from torch import Tensor

from videothinker.method.advantages import group_advantages
from videothinker.method.objective import policy_loss

HALF, QUARTER, TENTH = math.log(0.5), math.log(0.25), math.log(0.1)
ONE = torch.ones(1, 1)


def loss_and_slope(
    before: float, now: float, advantage: float, **options: Any
) -> tuple[float, float]:
    """Of a single token."""
    logp = torch.full((1, 1), now, dtype=torch.float64, requires_grad=True)
    old = torch.full((1, 1), before, dtype=torch.float64)
    loss, _ = policy_loss(logp, old, None, torch.tensor([advantage]).double(), ONE, **options)
    return float(loss.detach()), float(slope(loss, logp))


@pytest.mark.parametrize(
    ("advantage", "expected"),
    [
        (1.0, (-1.28, 0.0)),  # twice as likely: clipped, silenced
        (-1.0, (2.0, 2.0)),
    ],
)
def test_ppo_silences_a_token_that_has_gone_far_the_right_way(
    advantage: float, expected: tuple[float, float]
) -> None:
    assert loss_and_slope(QUARTER, HALF, advantage) == pytest.approx(expected)


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_cispo_clips_the_weight_and_silences_no_token(advantage: float) -> None:
    found = loss_and_slope(QUARTER, HALF, advantage, clip="cispo")
    assert found == pytest.approx((-1.28 * advantage * HALF, -1.28 * advantage))


def test_cispo_without_a_limit_below_lets_a_weight_fall_to_nothing() -> None:
    bounded = loss_and_slope(HALF, TENTH, 1.0, clip="cispo")
    free = loss_and_slope(HALF, TENTH, 1.0, clip="cispo", clip_low=1.0)
    assert (bounded[1], free[1]) == pytest.approx((-0.8, -0.2))


@pytest.mark.parametrize(
    ("advantage", "expected"),
    [
        # from .25 to .5 with a width of .5: half of the way to where it is not pushed
        (1.0, (-(2 - 0.25 / (2 * 0.5)), -2 * (1 - 0.25 / 0.5))),
        (-2.0, (-(-4 - 2 * 0.25 / (2 * 0.5)), -(-2 * 2 * (1 + 0.25 / 0.5)))),
    ],
)
def test_smooth_pushes_less_the_further_a_probability_has_gone_and_more_on_its_way_back(
    advantage: float, expected: tuple[float, float]
) -> None:
    found = loss_and_slope(QUARTER, HALF, advantage, clip="smooth", clip_width=0.5)
    assert found == pytest.approx(expected)


def test_smooth_does_not_push_at_its_width_and_pulls_back_beyond() -> None:
    at, beyond = (
        loss_and_slope(QUARTER, HALF, 1.0, clip="smooth", clip_width=width)[1]
        for width in (0.25, 0.125)
    )
    assert at == pytest.approx(0.0)
    assert beyond == pytest.approx(2.0)


def test_the_ratio_of_a_completion_is_the_geometric_mean_of_its_tokens() -> None:
    """Ratios 4, 1 and 1/2 of three tokens, padded by one: the third root of 2, within the clip."""
    logp = torch.tensor([[QUARTER, HALF, QUARTER, 9.0]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[math.log(1 / 16), HALF, HALF, 3.0]], dtype=torch.float64)
    mask = torch.tensor([[1.0, 1, 1, 0]])
    loss, stats = policy_loss(logp, old, None, torch.tensor([3.0]).double(), mask, ratio="sequence")
    assert float(loss.detach()) == pytest.approx(-3 * 2 ** (1 / 3))
    slopes = slope(loss, logp)
    torch.testing.assert_close(slopes, torch.tensor([[-(2 ** (1 / 3))] * 3 + [0.0]]).double())
    assert float(stats["clip_share"]) == 0


def test_a_completion_beyond_its_clip_is_silenced_as_a_whole() -> None:
    logp = torch.tensor([[QUARTER, HALF]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[TENTH, HALF]], dtype=torch.float64)
    limits = {"clip_low": 3e-4, "clip_high": 4e-4}
    loss, stats = policy_loss(
        logp, old, None, torch.ones(1).double(), torch.ones(1, 2), ratio="sequence", **limits
    )
    assert float(loss.detach()) == pytest.approx(-1.0004)
    assert not slope(loss, logp).any()
    assert float(stats["clip_share"]) == 1


def published(name: str, logp: Tensor, old: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
    """As their papers write them, a completion after the other."""
    total, tokens = torch.zeros((), dtype=logp.dtype), mask.sum()
    for now, before, advantage, inside in zip(logp, old, advantages, mask, strict=True):
        length = int(inside.sum())
        now, before = now[:length], before[:length]
        r = torch.exp(now - before)
        if name == "gspo":
            s = torch.exp((now - before).sum() / length)
            total = total + torch.min(s * advantage, s.clamp(0.8, 1.28) * advantage) / len(logp)
        elif name == "dr_grpo":
            gains = torch.min(r * advantage, r.clamp(0.8, 1.28) * advantage)
            total = total + gains.sum() / 20 / len(logp)
        elif name == "dapo":
            gains = torch.min(r * advantage, r.clamp(0.8, 1.28) * advantage)
            total = total + gains.sum() / tokens
        elif name == "cispo":
            total = total + (r.clamp(0.8, 1.28).detach() * advantage * now).sum() / tokens
        else:
            pull = advantage.abs() / (2 * 12.5) * before.exp() * (r - 1) ** 2
            total = total + (r * advantage - pull).mean() / len(logp)
    return -total


SETTINGS: dict[str, dict[str, Any]] = {
    "gspo": {"ratio": "sequence"},
    "dr_grpo": {"aggregation": "budget", "max_tokens": 20},
    "dapo": {"aggregation": "token"},
    "cispo": {"aggregation": "token", "clip": "cispo"},
    "drpo": {"clip": "smooth"},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_of_a_method_are_its_published_formula(name: str, seed: int) -> None:
    logp, _, advantages, mask = random_batch(seed)
    old = logp.detach() + 0.5 * torch.sin(torch.arange(28).double()).view(4, 7)
    loss, _ = policy_loss(logp, old, None, advantages, mask, **SETTINGS[name])
    expected = published(name, logp, old, advantages, mask)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(slope(loss, logp), slope(expected, logp))


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS)
def test_on_the_policy_that_was_sampled_from_ratio_and_clip_change_nothing(
    options: dict[str, Any],
) -> None:
    logp, _, advantages, mask = random_batch(0)
    other = {key: value for key, value in options.items() if key not in ("ratio", "clip")}
    losses = [
        policy_loss(logp, logp.detach(), None, advantages, mask, **kept)[0]
        for kept in (options, other)
    ]
    torch.testing.assert_close(slope(losses[0], logp), slope(losses[1], logp))


@pytest.mark.parametrize("bonus", [0.5, -0.3])
def test_a_bonus_adds_the_entropy_of_each_token_or_takes_it_off(bonus: float) -> None:
    logp, _, advantages, mask = random_batch(0)
    entropy = torch.rand(4, 7, dtype=torch.float64, requires_grad=True)
    plain, _ = policy_loss(logp, logp.detach(), None, advantages, mask)
    loss, _ = policy_loss(
        logp, logp.detach(), None, advantages, mask, entropy=entropy, entropy_bonus=bonus
    )
    mean = ((entropy * mask).sum(1) / mask.sum(1)).mean()
    torch.testing.assert_close(loss, plain - bonus * mean)
    torch.testing.assert_close(slope(loss, entropy), -bonus * mask / mask.sum(1, keepdim=True) / 4)


REWARDS = torch.tensor([[2.0, 0.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.04]])
STD = math.sqrt(2 / 3)
"""Of the first; the third's is .02."""


@pytest.mark.parametrize(
    ("options", "first", "third"),
    [
        ({}, 1 / (STD + 1e-4), 0.03 / 0.0201),
        ({"scale": "none"}, 1.0, 0.03),
        ({"baseline": "leave_one_out", "scale": "none"}, 4 / 3, 0.04),
        ({"baseline": "leave_one_out"}, 4 / 3 / (STD + 1e-4), 0.04 / 0.0201),
        (
            {"scale": "batch"},
            1 / (float(REWARDS.std()) + 1e-4),
            0.03 / (float(REWARDS.std()) + 1e-4),
        ),
    ],
    ids=str,
)
def test_advantages_by_hand(options: dict[str, Any], first: float, third: float) -> None:
    found = group_advantages(REWARDS, **options)
    torch.testing.assert_close(found[0, :2], torch.tensor([first, -first]))
    assert not found[1].any()
    assert float(found[2, 3]) == pytest.approx(third, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": "sequence", "aggregation": "token"}, "parts completions"),
        ({"ratio": "sequence", "clip": "smooth"}, "each token's probability"),
        ({"aggregation": "budget"}, "goes with aggregation = 'budget' alone"),
        ({"max_tokens": 5}, "goes with aggregation = 'budget' alone"),
        ({"entropy": ONE}, "do not go together"),
        ({"entropy_bonus": 0.1}, "do not go together"),
        ({"entropy_bonus": -0.1}, "do not go together"),
        ({"clip": "none"}, "clip = 'none': use one of ppo, cispo, smooth"),
    ],
    ids=str,
)
def test_what_cannot_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy_loss(ONE, ONE, None, torch.ones(1), ONE, **options)
