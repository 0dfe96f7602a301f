"""How each estimator enters the loss: its size, its direction, its bound, its mask."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from batches import random_batch, slope, without_reward
from torch import Tensor

from videothinker.method.divergence import exact_divergence
from videothinker.method.objective import policy_loss

ONE = torch.ones(1, 1)
SAMPLED = ("k1", "k2", "k3", "policy")


def naive_term(estimator: str, logp: Tensor, anchor: Tensor, bound: float) -> Tensor:
    """What one completion's tokens [T] add, written out token by token."""
    ratios = [torch.clamp(x, -bound, bound) for x in logp - anchor]
    if estimator == "k1":
        return torch.stack(ratios)
    if estimator == "k2":
        return torch.stack([x * x / 2 for x in ratios])
    if estimator == "k3":
        return torch.stack([torch.exp(-x) + x - 1 for x in ratios])
    later = [sum(x.item() for x in ratios[t:]) for t in range(len(ratios))]
    scores = [(g - 1) * (x - x.item()) for g, x in zip(later, logp, strict=True)]
    return torch.stack([x + s for x, s in zip(ratios, scores, strict=True)])


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
@pytest.mark.parametrize(("direction", "sign"), [("repel", 1), ("attract", -1)])
@pytest.mark.parametrize("estimator", SAMPLED)
def test_every_estimator_enters_as_in_the_naive_formula(
    estimator: Any, direction: Any, sign: int, aggregation: Any
) -> None:
    logp, anchor, advantages, mask = random_batch(1)
    lengths = mask.sum(1).int().tolist()
    options = {"direction": direction, "estimator": estimator, "aggregation": aggregation}
    loss, _ = policy_loss(
        logp, logp.detach(), anchor, advantages, mask, coefficient=0.3, bound=2.0, **options
    )
    rows = [
        torch.exp(logp[n, :length] - logp[n, :length].detach()) * advantages[n]
        + sign * 0.3 * naive_term(estimator, logp[n, :length], anchor[n, :length], 2.0)
        for n, length in enumerate(lengths)
    ]
    if aggregation == "token":
        expected = -torch.cat(rows).sum() / sum(lengths)
    else:
        expected = -torch.stack([row.mean() for row in rows]).mean()
    torch.testing.assert_close(loss, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(slope(loss, logp), slope(expected, logp), atol=1e-12, rtol=0)


@pytest.mark.parametrize("direction", ["discount", "tie_break", "reweigh"])
def test_what_changes_advantages_has_its_divergence_measured_and_not_felt(direction: Any) -> None:
    logp, anchor, advantages, mask = random_batch(1)
    plain, _ = policy_loss(logp, logp.detach(), None, advantages, mask)
    loss, stats = policy_loss(
        logp, logp.detach(), anchor, advantages, mask, coefficient=0.5, direction=direction
    )
    torch.testing.assert_close(slope(loss, logp), slope(plain, logp), atol=1e-12, rtol=0)
    assert loss == plain
    assert stats["kl"] == pytest.approx(
        float(((logp - anchor) * mask).sum().detach() / mask.sum()), abs=1e-12
    )


def test_a_product_is_pushed_in_the_policys_place_and_measured_beside_it() -> None:
    logp, anchor, advantages, mask = random_batch(1)
    product = (logp.detach() + anchor / 2).requires_grad_()
    plain, _ = policy_loss(logp, logp.detach(), None, advantages, mask)
    loss, stats = policy_loss(
        *(logp, logp.detach(), anchor, advantages, mask),
        direction="product",
        coefficient=0.5,
        product_logp=product,
    )
    torch.testing.assert_close(slope(loss, product), slope(plain, logp), atol=1e-12, rtol=0)
    assert not slope(loss, logp).any()
    assert stats["policy_gradient"] == slope(plain, logp).norm()
    assert stats["kl"] == pytest.approx(
        float(((logp - anchor) * mask).sum().detach() / mask.sum()), abs=1e-12
    )


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_the_loss_has_the_slopes_of_finite_differences(estimator: Any) -> None:
    logp, anchor, advantages, mask = random_batch(2)
    old = logp.detach() + 0.1

    def loss(logp: Tensor) -> Tensor:
        return policy_loss(
            logp,
            old,
            anchor,
            advantages,
            mask,
            coefficient=0.3,
            direction="repel",
            estimator=estimator,
            bound=4.0,
        )[0]

    assert torch.autograd.gradcheck(loss, (logp,))


ANCHOR = torch.tensor([0.5, 0.1, -0.7, 1.2], dtype=torch.float64)  # logits of a vocabulary of four


def expected_push(logits: Tensor, **options: Any) -> Tensor:
    """Where descending the loss moves the logits on average, over one-token completions."""
    leaf = logits.clone().requires_grad_()
    logp, anchor = leaf.log_softmax(0), ANCHOR.log_softmax(0)
    if options["estimator"] == "exact":
        options["divergence"] = exact_divergence(leaf, ANCHOR).view(1, 1)
    loss = torch.zeros(())
    for token, chance in enumerate(logp.detach().exp()):
        own = logp[token].view(1, 1)
        there = anchor[token].view(1, 1)
        none = torch.zeros(1)
        loss = loss + chance * policy_loss(own, own.detach(), there, none, ONE, **options)[0]
    return -slope(loss, leaf)


@pytest.mark.parametrize("estimator", ["k2", "k3", "policy", "exact"])
@pytest.mark.parametrize(("direction", "sign"), [("repel", 1), ("attract", -1)])
def test_repelling_climbs_the_true_divergence_and_attracting_descends_it(
    estimator: str, direction: str, sign: int
) -> None:
    logits = torch.tensor([0.2, 0.9, 0.3, -0.4], dtype=torch.float64, requires_grad=True)
    first, second = logits.log_softmax(0), ANCHOR.log_softmax(0)
    if estimator == "k3":
        first, second = second, first
    uphill = slope((first.exp() * (first - second)).sum(), logits)
    push = expected_push(logits.detach(), estimator=estimator, direction=direction, coefficient=0.5)
    torch.testing.assert_close(push, sign * 0.5 * uphill, atol=1e-12, rtol=0)


def test_repelling_by_k1_pushes_nowhere_on_average() -> None:
    push = expected_push(torch.arange(4.0), estimator="k1", direction="repel", coefficient=1.0)
    torch.testing.assert_close(push, torch.zeros(4), atol=1e-6, rtol=0)


@pytest.mark.parametrize("estimator", ["k2", "k3", "policy"])
def test_repelling_lowers_what_the_anchor_likes_more_and_raises_what_it_likes_less(
    estimator: str,
) -> None:
    logp = torch.tensor([[-3.0], [-1.0]], requires_grad=True)
    loss, _ = without_reward(logp, torch.tensor([[-0.5], [-4.0]]), estimator=estimator)
    first, second = (-slope(loss, logp)).flatten().tolist()
    assert first < 0 < second


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("log_ratio", [-3.5, 3.5])
def test_a_token_beyond_the_bound_is_pushed_no_more(estimator: str, log_ratio: float) -> None:
    logp = torch.full((1, 1), -5.0, requires_grad=True)
    anchor = logp.detach() - log_ratio
    loss, stats = without_reward(logp, anchor, estimator=estimator, bound=3.0)
    assert slope(loss, logp).item() == 0
    assert stats["bound_share"].item() == 1


def test_a_log_ratio_in_the_return_counts_as_the_bound_at_most() -> None:
    logp = torch.full((1, 3), -5.0, requires_grad=True)
    anchor = torch.tensor([[-5.0, -1000.0, -5.0]])
    options = {"coefficient": 3.0, "bound": 2.0}  # 3 undoes the mean over three tokens
    loss, _ = without_reward(logp, anchor, estimator="policy", **options)
    assert (-slope(loss, logp)).tolist() == [[2.0, 1.0, 0.0]]


def test_an_exact_divergence_beyond_the_bound_is_pushed_no_more() -> None:
    logits = torch.tensor([[8.0, 0.0, 0.0], [0.1, 0.0, 0.0]], requires_grad=True)
    anchor = torch.tensor([[0.0, 8.0, 0.0], [0.0, 0.2, 0.0]])
    far, near = exact_divergence(logits, anchor)
    divergence = torch.stack([far, near])[None]
    zero = torch.zeros(1, 2)
    loss, stats = without_reward(zero, zero, estimator="exact", divergence=divergence, bound=3.0)
    found = slope(loss, logits)
    assert not found[0].any()
    torch.testing.assert_close(found, -slope(near, logits) / 2)
    assert stats["bound_share"].item() == 0.5
    assert stats["kl"].item() == pytest.approx((far.item() + near.item()) / 2)
    assert loss.item() == pytest.approx(-(3.0 + near.item()) / 2)


@pytest.mark.parametrize("estimator", SAMPLED)
def test_kl_is_the_mean_log_ratio_a_token_whatever_the_estimator(estimator: str) -> None:
    logp = torch.tensor([[-1.0, -1.0], [-1.0, -1.0]])
    anchor = torch.tensor([[-2.0, -3.0], [-0.5, -21.0]])
    for direction in ("repel", "attract"):
        _, stats = without_reward(logp, anchor, direction=direction, estimator=estimator)
        assert stats["kl"].item() == pytest.approx((1 + 2 - 0.5 + 20) / 4)
        assert stats["bound_share"].item() == 0.25


@pytest.mark.parametrize("estimator", SAMPLED)
def test_a_divergence_mask_leaves_the_other_tokens_to_the_reward_alone(estimator: Any) -> None:
    logp, anchor, advantages, mask = random_batch(4)
    felt = (torch.arange(7) % 2 == 0).expand(4, 7) & (torch.arange(4) != 1)[:, None]
    options: dict[str, Any] = {"estimator": estimator, "direction": "repel", "coefficient": 0.2}

    def pushed(**more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        loss, stats = policy_loss(logp, logp.detach(), anchor, advantages, mask, **options, **more)
        return slope(loss, logp), stats

    everywhere, _ = pushed()
    masked, stats = pushed(divergence_mask=felt)
    plain, _ = policy_loss(logp, logp.detach(), None, advantages, mask)
    nowhere = slope(plain, logp)
    torch.testing.assert_close(masked[~felt], nowhere[~felt])
    if estimator != "policy":  # whose tokens answer for the later ones that still count
        torch.testing.assert_close(masked[felt], everywhere[felt])
    inside = (felt & mask.bool()).sum()
    beyond = ((logp - anchor).abs() >= 11) & felt & mask.bool()
    assert stats["bound_share"].item() == pytest.approx((beyond.sum() / inside).item())


def test_the_return_counts_only_tokens_that_feel_the_divergence() -> None:
    logp = torch.full((1, 3), -1.0, requires_grad=True)
    anchor = torch.tensor([[-2.0, -4.0, -6.0]])  # log-ratios 1, 3, 5
    felt = torch.tensor([[1.0, 0.0, 1.0]])
    loss, _ = without_reward(
        logp, anchor, coefficient=3.0, estimator="policy", divergence_mask=felt
    )
    assert (-slope(loss, logp)).tolist() == [[1 + 5.0, 0.0, 5.0]]


def test_an_exact_divergence_outside_its_mask_is_measured_but_not_felt() -> None:
    zero = torch.zeros(1, 2)
    divergence = torch.tensor([[0.5, 2.0]], requires_grad=True)
    loss, stats = without_reward(
        zero,
        zero,
        estimator="exact",
        divergence=divergence,
        divergence_mask=torch.tensor([[1.0, 0.0]]),
        bound=1.0,
    )
    assert slope(loss, divergence).tolist() == [[-0.5, 0.0]]
    assert loss.item() == -0.25
    assert stats["kl"].item() == 1.25
    assert stats["bound_share"].item() == 0
