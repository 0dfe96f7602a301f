"""Correcting for a sampler that was not quite the policy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from batches import random_batch, slope, without_reward
from torch import Tensor

from videothinker.method.objective import policy_loss

ONE = torch.ones(1, 1)
ANCHOR = torch.tensor([0.5, 0.1, -0.7, 1.2], dtype=torch.float64)  # logits of a vocabulary of four


def test_a_mismatched_sampler_is_weighed_up_to_the_cap() -> None:
    logp = torch.log(torch.tensor([[0.2, 0.6]])).requires_grad_()
    sampler = torch.log(torch.tensor([[0.4, 0.1]]))  # weights 0.5 and 6
    loss, stats = policy_loss(
        logp,
        logp.detach(),
        None,
        torch.tensor([4.0]),
        torch.ones(1, 2),
        sampler_logp=sampler,
        importance_cap=2.0,
    )
    assert loss.item() == pytest.approx(-(0.5 * 4 + 2 * 4) / 2)
    assert slope(loss, logp).flatten().tolist() == pytest.approx([-1.0, -4.0])
    assert stats["importance_mean"].item() == pytest.approx(1.25)
    assert stats["importance_truncated"].item() == 0.5


def test_the_weight_makes_a_mismatched_sampler_exact_for_reward_and_sampled_divergence() -> None:
    logits = torch.tensor([0.2, 0.9, 0.3, -0.4], dtype=torch.float64, requires_grad=True)
    sampler = torch.tensor([0.0, 0.3, 0.6, 0.1], dtype=torch.float64).log_softmax(0)
    anchor, rewards = ANCHOR.log_softmax(0), torch.tensor([1.0, -2.0, 0.5, 3.0]).double()
    logp = logits.log_softmax(0)

    def over(chances: Tensor, **options: Any) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for token, chance in enumerate(chances):
            row = {name: values[token].view(1, 1) for name, values in options.items()}
            own, there, reward = logp[token].view(1, 1), anchor[token].view(1, 1), rewards[token]
            if row:
                row["importance_cap"] = math.inf
            loss, _ = policy_loss(
                own,
                own.detach(),
                there,
                reward[None],
                ONE,
                coefficient=0.7,
                direction="repel",
                estimator="k2",
                **row,
            )
            total = total + chance * loss
        return slope(total, logits)

    weighed = over(sampler.exp(), sampler_logp=sampler)
    torch.testing.assert_close(weighed, over(logp.detach().exp()), atol=1e-12, rtol=0)


def test_without_a_cap_the_mismatch_is_measured_and_changes_nothing() -> None:
    logp, anchor, advantages, mask = random_batch(5)
    inputs = (logp, logp.detach(), anchor, advantages, mask)
    options: dict[str, Any] = {"coefficient": 0.1, "direction": "repel"}
    plain, _ = policy_loss(*inputs, **options)
    measured, stats = policy_loss(*inputs, **options, sampler_logp=logp.detach() - math.log(3))
    assert measured.item() == plain.item()
    assert stats["importance_mean"].item() == pytest.approx(3.0)
    assert stats["importance_truncated"].item() == 0


def test_the_weight_is_a_constant() -> None:
    logp = torch.log(torch.tensor([[0.2, 0.6]])).requires_grad_()
    sampler = torch.log(torch.tensor([[0.4, 0.1]])).requires_grad_()
    loss, _ = without_reward(
        logp, logp.detach() - 1, sampler_logp=sampler, importance_cap=2.0, estimator="k1"
    )
    found, none = torch.autograd.grad(loss, (logp, sampler), allow_unused=True)
    assert found.any()
    assert none is None


def test_kl_is_that_of_the_policy_and_not_of_the_sampler() -> None:
    logp = torch.log(torch.tensor([[0.2, 0.6]]))
    sampler = torch.log(torch.tensor([[0.4, 0.1]]))  # weights 0.5 and 6, cut to 2
    anchor = logp - torch.tensor([[1.0, 3.0]])
    _, stats = without_reward(logp, anchor, sampler_logp=sampler, importance_cap=2.0)
    assert stats["kl"].item() == pytest.approx((0.5 * 1 + 2 * 3) / 2)


def test_an_exact_divergence_is_not_weighed() -> None:
    zero = torch.zeros(1, 1)
    loss, stats = without_reward(
        zero,
        zero,
        estimator="exact",
        divergence=torch.full((1, 1), 0.5),
        sampler_logp=zero - 1,
        importance_cap=10.0,
    )
    assert loss.item() == -0.5
    assert stats["kl"].item() == 0.5
    assert stats["importance_mean"].item() == pytest.approx(math.e)
