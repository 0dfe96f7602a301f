"""Estimates of the divergence between policy and anchor, one number a token.

With l = log policy - log anchor of the sampled token, in nats:

    name    value              gradient by log policy     expected gradient over sampled tokens
    k1      l                  1                          0
    k2      l^2 / 2            l                          of KL(policy || anchor), token by token
    k3      exp(-l) + l - 1    1 - exp(-l)                of KL(anchor || policy), token by token
    policy  l                  l + all later l            of KL(policy || anchor) of completions
    exact   E_policy[l]        (of the logits)            of KL(policy || anchor), token by token

"Token by token" takes the tokens before for granted; "of completions" counts as well that a token
decides which tokens can follow. docs/objective.md has the numbers.

Schulman, "Approximating KL Divergence" (2020), for k1, k2 and k3; Tang and Munos, "On a few
pitfalls in KL divergence gradient estimation for RL" (2025), for what their gradients are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def k1(logp: Tensor, anchor_logp: Tensor, bound: float) -> Tensor:
    """l; beyond the bound it is constant. As a loss it has no expected gradient: a control."""
    return (logp - anchor_logp).clamp(-bound, bound)


def k2(logp: Tensor, anchor_logp: Tensor, bound: float) -> Tensor:
    """l^2 / 2; beyond the bound it is constant."""
    return (logp - anchor_logp).clamp(-bound, bound).square() / 2


def k3(logp: Tensor, anchor_logp: Tensor, bound: float) -> Tensor:
    """exp(-l) + l - 1, as published; beyond the bound it is constant, so exp stays finite."""
    log_ratio = (anchor_logp - logp).clamp(-bound, bound)
    return log_ratio.exp() - log_ratio - 1


def policy(logp: Tensor, anchor_logp: Tensor, bound: float) -> Tensor:
    """l as a return: a token answers for its own log-ratio and for all later ones, [N, T].

    Log-ratios count up to the bound. On tokens of the policy the sum over a completion has the
    expected value and gradient of E[c_1 + ... + c_T], c the bounded l, within the bound or not:
        grad E[sum_t c_t] = E[sum_t (grad c_t + (c_t + c_t+1 + ... - 1) grad log policy_t)]
    where the -1 has no expectation; it takes out the noise of grad c_t.
    """
    log_ratio = (logp - anchor_logp).clamp(-bound, bound)
    ahead = log_ratio.detach().flip(1).cumsum(1).flip(1)
    return log_ratio + (ahead - 1) * (logp - logp.detach())  # the second part has only a gradient


def product(logits: Tensor, anchor_logits: Tensor, power: float) -> Tensor:
    """Log-probs [n, V] of policy * anchor^power, normalised: a product of experts. What the anchor
    is sure of has no slope by the policy's logits.

    Hinton, "Training Products of Experts" (2002); Clark et al. (2019) against known biases.
    """
    # a forbidden token is -inf in both, and 0 * -inf would not be a number
    both = logits + power * anchor_logits.detach() if power else logits
    return both.log_softmax(dim=1)


def exact_divergence(logits: Tensor, anchor_logits: Tensor, chunk: int = 128) -> Tensor:
    """KL(policy || anchor) over the whole vocabulary: logits [..., V] twice -> [...].

    Only the logits are kept for the backward pass: `chunk` tokens at a time are normalised, in
    float32 or better, and once more for the gradient. The anchor gets none. Logits of -inf in both
    count for nothing.
    """
    if logits.shape != anchor_logits.shape:
        raise ValueError(
            f"anchor_logits: {list(anchor_logits.shape)} and logits {list(logits.shape)} differ"
        )
    if chunk < 1:
        raise ValueError(f"chunk = {chunk}: use 1 or more")
    vocabulary = logits.shape[-1]
    rows, anchor_rows = logits.reshape(-1, vocabulary), anchor_logits.reshape(-1, vocabulary)
    divergence: Tensor = _ExactDivergence.apply(rows, anchor_rows, chunk)  # type: ignore[no-untyped-call]
    return divergence.view(logits.shape[:-1])


class _ExactDivergence(torch.autograd.Function):
    """D = sum_v p_v l_v, and by the logits dD/dz_v = p_v (l_v - D)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, anchor_logits: Tensor, chunk: int) -> Tensor:
        ctx.save_for_backward(logits, anchor_logits)
        ctx.chunk = chunk
        pieces = _in_chunks(logits, anchor_logits, chunk)
        return torch.cat([(p * log_ratio).sum(1) for _, p, log_ratio in pieces])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        logits, anchor_logits = ctx.saved_tensors
        by_logits = torch.empty_like(logits)
        for rows, p, log_ratio in _in_chunks(logits, anchor_logits, ctx.chunk):
            above = log_ratio - (p * log_ratio).sum(1, keepdim=True)
            weight = grad[rows, None]
            # a divergence may be infinite where its gradient is not asked for
            by_logits[rows] = torch.where(weight == 0, 0, weight * p * above).to(logits.dtype)
        return by_logits, None, None


def _in_chunks(
    logits: Tensor, anchor_logits: Tensor, chunk: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows, their probabilities under the policy, and their log-ratios."""
    precise = torch.promote_types(logits.dtype, torch.float32)
    for start in range(0, max(len(logits), 1), chunk):
        rows = slice(start, start + chunk)
        log_policy = logits[rows].to(precise).log_softmax(1)
        p = log_policy.exp()
        log_ratio = log_policy - anchor_logits[rows].to(precise).log_softmax(1)
        yield rows, p, torch.where(p > 0, log_ratio, 0)
