"""The loss against numbers worked out by hand and the published formula written naively."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from batches import random_batch, slope, without_reward
from torch import Tensor

from videothinker.method.objective import (
    group_advantages,
    k3,
    masked_mean,
    policy_loss,
    repulsion_ratio,
)

ONE = torch.ones(1, 1)
SAMPLED = ("k1", "k2", "k3", "policy")


def published_loss(
    logp: Tensor, old: Tensor, anchor: Tensor, advantages: Tensor, mask: Tensor, beta: float
) -> Tensor:
    """The reference's sign convention: beta < 0 repels."""
    d = torch.clamp(anchor - logp, -11, 11)
    divergence = torch.exp(d) - d - 1
    ratio = torch.exp(logp - old)
    gain = torch.min(ratio * advantages[:, None], ratio.clamp(0.8, 1.28) * advantages[:, None])
    per_token = -(gain - beta * divergence)
    return ((per_token * mask).sum(1) / mask.sum(1)).mean()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-6)], ids=["64", "32"]
)
@pytest.mark.parametrize("stale", [0.0, 0.5], ids=["on-policy", "clipped"])
@pytest.mark.parametrize(("direction", "beta"), [("repel", -0.01), ("attract", 0.01)])
@pytest.mark.parametrize("seed", range(5))
def test_the_defaults_are_the_published_loss(
    seed: int, direction: Any, beta: float, stale: float, dtype: torch.dtype, tolerance: float
) -> None:
    logp, anchor, advantages, mask = random_batch(seed, dtype)
    old = logp.detach() + stale * torch.sin(torch.arange(28, dtype=dtype)).view(4, 7)
    loss, _ = policy_loss(
        logp, old, anchor, advantages, mask, coefficient=0.01, direction=direction
    )
    expected = published_loss(logp, old, anchor, advantages, mask, beta)
    torch.testing.assert_close(loss, expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(
        slope(loss, logp), slope(expected, logp), atol=tolerance, rtol=tolerance
    )


def test_repelling_lowers_the_loss_as_the_divergence_grows_and_attracting_raises_it() -> None:
    near, far, anchor = (torch.full((1, 1), value) for value in (-1.0, -4.0, -1.0))

    def loss(logp: Tensor, direction: str) -> float:
        return without_reward(logp, anchor, direction=direction)[0].item()

    assert loss(far, "repel") < loss(near, "repel")
    assert loss(far, "attract") > loss(near, "attract")


def test_descending_the_repulsive_loss_pushes_down_what_the_anchor_likes_more() -> None:
    logp = torch.tensor([[-2.0]], requires_grad=True)
    loss, _ = without_reward(logp, torch.tensor([[-0.5]]))
    assert slope(loss, logp).item() == pytest.approx(math.exp(1.5) - 1)  # descent lowers logp


def test_k3_is_zero_at_the_anchor_and_bounded_beyond_the_bound() -> None:
    logp = torch.tensor([0.0, 0.0, 0.0])
    anchor = torch.tensor([0.0, 1.0, 50.0])
    expected = [0.0, math.e - 2, math.exp(11) - 12]
    torch.testing.assert_close(k3(logp, anchor, 11.0), torch.tensor(expected))


def test_tokens_outside_the_mask_change_nothing() -> None:
    logp, anchor, advantages, mask = random_batch(0)
    old = logp.detach()
    loss, stats = policy_loss(
        logp, old, anchor, advantages, mask, coefficient=0.1, direction="repel"
    )
    disturbed = torch.where(mask.bool(), logp, logp * 3 - 1)
    again, stats_again = policy_loss(
        disturbed, old, anchor, advantages, mask, coefficient=0.1, direction="repel"
    )
    assert loss.item() == pytest.approx(again.item())
    assert stats["kl"].item() == pytest.approx(stats_again["kl"].item())


def test_each_completion_counts_the_same_whatever_its_length() -> None:
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [3.0, 9.0, 9.0, 9.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert masked_mean(values, mask).item() == 2.0


def test_over_all_tokens_alike_a_long_completion_counts_for_more() -> None:
    values = torch.tensor([[1.0, 1.0, 1.0, 1.0], [3.0, 9.0, 9.0, 9.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert masked_mean(values, mask, "token").item() == pytest.approx(7 / 5)


def test_one_winner_among_eight_gets_the_published_advantage() -> None:
    advantages = group_advantages(torch.tensor([[2.0, 1, 1, 1, 1, 1, 1, 1]]))
    assert advantages[0, 0].item() == pytest.approx(2.474, abs=1e-3)
    assert advantages[0, 1].item() == pytest.approx(-0.353, abs=1e-3)


@pytest.mark.parametrize("spread", [1.0, 1e-4])
def test_advantages_are_the_published_formula(spread: float) -> None:
    generator = torch.Generator().manual_seed(6)
    rewards = spread * torch.rand(3, 8, generator=generator, dtype=torch.float64)
    for group, found in zip(rewards.tolist(), group_advantages(rewards).tolist(), strict=True):
        mean = sum(group) / 8
        std = math.sqrt(sum((reward - mean) ** 2 for reward in group) / 7)
        assert found == pytest.approx([(reward - mean) / (std + 1e-4) for reward in group])


def test_equal_rewards_give_no_advantage() -> None:
    assert not group_advantages(torch.full((3, 8), 1.5)).any()


def test_the_ratio_is_clipped_on_the_side_that_would_overshoot() -> None:
    old = torch.zeros(2, 1)
    logp = torch.log(torch.tensor([[2.0], [0.5]]))
    loss, stats = policy_loss(logp, old, None, torch.tensor([1.0, -1.0]), torch.ones(2, 1))
    assert loss.item() == pytest.approx(-(1.28 - 0.8) / 2)
    assert stats["clip_share"].item() == 1.0


def test_the_gradient_norms_are_those_of_the_two_terms_by_log_probs() -> None:
    logp = torch.tensor([[-2.0, -1.0], [-1.0, 0.0]], requires_grad=True)
    anchor = torch.tensor([[-1.0, -4.0], [-3.0, 0.0]])  # log-ratios -1, 3 and 2
    mask = torch.tensor([[1.0, 1.0], [1.0, 0.0]])

    def norms(aggregation: Any) -> list[float]:
        _, stats = policy_loss(
            logp,
            logp.detach(),
            anchor,
            torch.tensor([0.5, -4.0]),
            mask,
            coefficient=0.2,
            direction="repel",
            estimator="k2",
            aggregation=aggregation,
        )
        return [stats["policy_gradient"].item(), stats["divergence_gradient"].item()]

    token = [math.hypot(0.5, 0.5, 4) / 3, 0.2 * math.hypot(1, 3, 2) / 3]
    sequence = [math.hypot(0.25, 0.25, 4) / 2, 0.2 * math.hypot(0.5, 1.5, 2) / 2]
    assert norms("token") == pytest.approx(token)
    assert norms("sequence") == pytest.approx(sequence)


def test_an_exact_divergence_is_measured_by_the_force_on_the_sampled_tokens() -> None:
    logp = torch.tensor([[-2.0, -1.0, -1.0]], requires_grad=True)
    _, stats = policy_loss(
        logp,
        logp.detach(),
        torch.tensor([[-1.0, -4.0, -2.0]]),  # log-ratios -1, 3 and 1
        torch.tensor([0.5]),
        torch.ones(1, 3),
        coefficient=0.2,
        direction="repel",
        estimator="exact",
        divergence=torch.tensor([[0.4, 0.5, 7.0]]),
        bound=2.0,  # the third token feels nothing
    )
    assert stats["divergence_gradient"].item() == pytest.approx(0.2 * math.hypot(1, 3) / 3)


def test_measuring_leaves_the_graph_for_the_backward_pass() -> None:
    weights = torch.tensor([[0.3, -0.2]], requires_grad=True)
    logp = weights.cos().log()  # a model before the log-probs
    loss, _ = policy_loss(
        logp, logp.detach(), logp.detach() - 1, torch.ones(1), torch.ones(1, 2), direction="repel"
    )
    loss.backward()
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, weights.detach().tan() / 2)


def test_nothing_is_differentiated_where_nothing_is_learned() -> None:
    logp, anchor, advantages, mask = random_batch(0)
    with torch.no_grad():
        _, stats = policy_loss(logp, logp, anchor, advantages, mask, direction="repel")
    assert sorted(stats) == ["bound_share", "clip_share", "kl"]


@pytest.mark.parametrize(
    ("divergence", "gain", "ratio"), [(0.5, 2.0, 0.25), (0.5, 0.0, math.inf), (0.0, 0.0, 0.0)]
)
def test_repulsion_is_compared_with_the_reward_over_a_whole_step(
    divergence: float, gain: float, ratio: float
) -> None:
    assert repulsion_ratio({"divergence_gradient": divergence, "policy_gradient": gain}) == ratio
    assert repulsion_ratio({"policy_gradient": 1.0}) == 0


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
@pytest.mark.parametrize("estimator", [*SAMPLED, "exact"])
def test_a_batch_without_a_single_token_has_a_loss_and_gradients_of_zero(
    estimator: Any, aggregation: Any
) -> None:
    logp = torch.full((2, 3), -1.0, requires_grad=True)
    rubbish = torch.full((2, 3), math.nan)
    loss, stats = policy_loss(
        logp,
        rubbish,
        rubbish,
        torch.ones(2),
        torch.zeros(2, 3),
        coefficient=1.0,
        direction="repel",
        estimator=estimator,
        aggregation=aggregation,
        divergence=rubbish if estimator == "exact" else None,
        sampler_logp=rubbish,
        importance_cap=2.0,
    )
    assert loss.item() == 0
    assert not slope(loss, logp).any()
    assert not any(value.any() for value in stats.values())


def test_whatever_stands_in_the_padding_the_loss_and_its_gradient_stay_the_same() -> None:
    logp, anchor, advantages, mask = random_batch(0)
    padding = mask == 0
    options: dict[str, Any] = {"coefficient": 0.1, "direction": "repel"}
    loss, _ = policy_loss(logp, logp.detach(), anchor, advantages, mask, **options)
    for rubbish in (math.nan, math.inf, -math.inf):
        spoiled = logp.detach().masked_fill(padding, rubbish).requires_grad_()
        again, stats = policy_loss(
            spoiled,
            spoiled.detach(),
            anchor.masked_fill(padding, rubbish),
            advantages,
            mask,
            **options,
        )
        assert again.item() == loss.item()
        torch.testing.assert_close(slope(again, spoiled), slope(loss, logp))
        assert all(value.isfinite() for value in stats.values())


@pytest.mark.parametrize(
    ("estimator", "term"), [("k1", -1), ("k2", 0.5), ("k3", math.e - 2), ("policy", -1)]
)
def test_one_completion_of_one_token_is_a_batch(estimator: Any, term: float) -> None:
    logp, anchor = torch.tensor([[-2.0]]), torch.tensor([[-1.0]])
    options: dict[str, Any] = {"direction": "attract", "coefficient": 1.0}
    reward = torch.tensor([2.0])
    loss, _ = policy_loss(logp, logp, anchor, reward, ONE, estimator=estimator, **options)
    assert loss.item() == pytest.approx(-2 + term)
