"""Causal Debiasing Policy Optimization: the loss, as the paper's three lines.

    loss = -mean( min(ratio * A, clip(ratio, 1 - low, 1 + high) * A) + sign * coefficient * k3 )

with sign +1 to repel the policy from the anchor and -1 to attract it. Means run over each
completion's tokens first, then over completions. Shapes: N completions, T tokens, P prompts, G
completions of a group.

Schulman, "Approximating KL Divergence" (2020), for k3; Yu et al., "DAPO" (2025), for the two clips.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Direction = Literal["repel", "attract", "none"]
SIGN = {"repel": 1.0, "attract": -1.0, "none": 0.0}


def group_advantages(rewards: Tensor) -> Tensor:
    """Rewards [P, G] against their own group: (r - mean) / (unbiased std + 1e-4)."""
    mean = rewards.mean(dim=1, keepdim=True)
    std = rewards.std(dim=1, keepdim=True, unbiased=True)
    return (rewards - mean) / (std + 1e-4)


def k3(logp: Tensor, anchor_logp: Tensor, bound: float) -> Tensor:
    """Per-token estimate of KL(policy || anchor); the log-ratio is bounded so exp stays finite."""
    log_ratio = (anchor_logp - logp).clamp(-bound, bound)
    return log_ratio.exp() - log_ratio - 1


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each completion's tokens, then over completions: [N, T] -> []."""
    return ((values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)).mean()


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    anchor_logp: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    coefficient: float = 0.0,
    direction: Direction = "none",
    estimator: Literal["k3"] = "k3",
    bound: float = 11.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and its parts; log-probs and mask [N, T], advantages [N]."""
    if direction not in SIGN:
        raise ValueError(f"direction = {direction!r}: use one of {', '.join(SIGN)}")
    if estimator != "k3":
        raise ValueError(f"estimator = {estimator!r}: this version has k3 only")
    if (anchor_logp is None) != (direction == "none"):
        raise ValueError(f"direction = {direction!r} and anchor_logp do not go together")
    mask = mask.to(logp.dtype)
    ratio = (logp - old_logp).exp()
    advantage = advantages[:, None]
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    policy_gain = torch.minimum(ratio * advantage, clipped * advantage)
    stats = {"clip_share": masked_mean((clipped * advantage < ratio * advantage).float(), mask)}

    divergence = torch.zeros_like(logp)
    if anchor_logp is not None:
        divergence = k3(logp, anchor_logp, bound)
        at_bound = (anchor_logp - logp).abs() >= bound
        stats |= {
            "kl": masked_mean(divergence, mask),
            "bound_share": masked_mean(at_bound.float(), mask),
        }

    loss = -masked_mean(policy_gain + SIGN[direction] * coefficient * divergence, mask)
    return loss, {name: value.detach() for name, value in stats.items()}
