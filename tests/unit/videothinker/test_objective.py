"""The loss against numbers worked out by hand and the published formula written naively."""

from __future__ import annotations

import math

import pytest
import torch

from videothinker.objective import group_advantages, k3, masked_mean, policy_loss

ONE = torch.ones(1, 1)


def published_loss(
    logp: torch.Tensor,
    anchor: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """The reference's sign convention: beta < 0 repels."""
    d = torch.clamp(anchor - logp, -11, 11)
    divergence = torch.exp(d) - d - 1
    ratio = torch.exp(logp - logp.detach())
    gain = torch.min(ratio * advantages[:, None], ratio.clamp(0.8, 1.28) * advantages[:, None])
    per_token = -(gain - beta * divergence)
    return ((per_token * mask).sum(1) / mask.sum(1)).mean()


def random_batch(seed: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    logp = -3 * torch.rand(4, 7, generator=generator, dtype=torch.float64)
    anchor = -6 * torch.rand(4, 7, generator=generator, dtype=torch.float64)
    advantages = torch.randn(4, generator=generator, dtype=torch.float64)
    lengths = torch.tensor([7, 3, 5, 1])
    mask = (torch.arange(7)[None] < lengths[:, None]).double()
    return logp.requires_grad_(), anchor, advantages, mask


@pytest.mark.parametrize("seed", range(5))
def test_repulsion_equals_the_published_loss_with_negative_beta(seed: int) -> None:
    logp, anchor, advantages, mask = random_batch(seed)
    loss, _ = policy_loss(
        logp, logp.detach(), anchor, advantages, mask, coefficient=0.01, direction="repel"
    )
    expected = published_loss(logp, anchor, advantages, mask, beta=-0.01)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
    (ours,) = torch.autograd.grad(loss, logp, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, logp)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


def test_repelling_lowers_the_loss_as_the_divergence_grows_and_attracting_raises_it() -> None:
    near, far = torch.full((1, 1), -1.0), torch.full((1, 1), -4.0)
    anchor, zero = torch.full((1, 1), -1.0), torch.zeros(1)

    def loss(logp: torch.Tensor, direction: str) -> float:
        value, _ = policy_loss(
            logp,
            logp,
            anchor,
            zero,
            ONE,
            coefficient=1.0,
            direction=direction,  # type: ignore[arg-type]
        )
        return value.item()

    assert loss(far, "repel") < loss(near, "repel")
    assert loss(far, "attract") > loss(near, "attract")


def test_descending_the_repulsive_loss_pushes_down_what_the_anchor_likes_more() -> None:
    logp = torch.tensor([[-2.0]], requires_grad=True)
    anchor = torch.tensor([[-0.5]])
    loss, _ = policy_loss(
        logp, logp.detach(), anchor, torch.zeros(1), ONE, coefficient=1.0, direction="repel"
    )
    loss.backward()
    assert logp.grad is not None
    assert logp.grad.item() == pytest.approx(math.exp(1.5) - 1)  # positive: descent lowers logp


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


def test_one_winner_among_eight_gets_the_published_advantage() -> None:
    advantages = group_advantages(torch.tensor([[2.0, 1, 1, 1, 1, 1, 1, 1]]))
    assert advantages[0, 0].item() == pytest.approx(2.474, abs=1e-3)
    assert advantages[0, 1].item() == pytest.approx(-0.353, abs=1e-3)


def test_equal_rewards_give_no_advantage() -> None:
    assert not group_advantages(torch.full((3, 8), 1.5)).any()


def test_the_ratio_is_clipped_on_the_side_that_would_overshoot() -> None:
    old = torch.zeros(2, 1)
    logp = torch.log(torch.tensor([[2.0], [0.5]]))
    loss, stats = policy_loss(logp, old, None, torch.tensor([1.0, -1.0]), torch.ones(2, 1))
    assert loss.item() == pytest.approx(-(1.28 - 0.8) / 2)
    assert stats["clip_share"].item() == 1.0


@pytest.mark.parametrize(("anchor", "direction"), [(None, "repel"), (torch.zeros(1, 1), "none")])
def test_an_anchor_without_direction_or_the_reverse_is_refused(
    anchor: torch.Tensor | None, direction: str
) -> None:
    logp = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="do not go together"):
        policy_loss(logp, logp, anchor, torch.zeros(1), ONE, direction=direction)  # type: ignore[arg-type]
