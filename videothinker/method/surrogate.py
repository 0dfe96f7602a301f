"""What a token adds to the gain, and what keeps one batch from carrying the policy too far.

With r = policy / the policy that the step began with, of a token or of its completion:

    clip      gain                                          slope by log policy
    ppo       min(r A, clip(r, 1 - low, 1 + high) A)        r A, or 0 where the clip is less
    cispo     clip(r, 1 - low, 1 + high) A log policy       clip(r, ...) A: no token is silenced
    smooth    r A - |A| / (2 width) q (r - 1)^2             r A (1 - sign(A) (p - q) / width)

where p and q are the token's probabilities now and then, and cispo's clip is a constant. In the
first update of a step r is 1, and all three have the slope A.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017), with two clips as in DAPO;
MiniMax, "MiniMax-M1" (2025), for cispo; Yao et al., "Rethinking the Divergence Regularization in
LLM RL" (2026), for smooth; Zheng et al., "Group Sequence Policy Optimization" (2025), for the ratio
of a completion: the geometric mean of its tokens'.
"""

from __future__ import annotations

import torch
from torch import Tensor

from videothinker.config.learner import Clipping, Ratio


def surrogate(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    ratio: Ratio = "token",
    clip: Clipping = "ppo",
    low: float = 0.2,
    high: float = 0.28,
    width: float = 12.5,
) -> tuple[Tensor, Tensor]:
    """The gain of each token, and whether its clip holds it back; [N, T], 0 outside the mask of
    what is given as 0 there. Advantages [N]."""
    advantage = advantages[:, None]
    change = logp - old_logp
    if ratio == "sequence":
        lengths = mask.sum(dim=1, keepdim=True).clamp(min=1)
        change = (change.sum(dim=1, keepdim=True) / lengths).expand_as(logp)
    times = change.exp()
    if clip == "smooth":
        chance = old_logp.detach().exp()
        penalty = advantage.abs() / (2 * width) * chance * (times - 1).square()
        held = (logp.detach().exp() - chance).abs() >= width
        return times * advantage - penalty, held
    clipped = times.clamp(1 - low, 1 + high)
    if clip == "cispo":
        return clipped.detach() * advantage * logp, clipped != times
    return torch.minimum(times * advantage, clipped * advantage), (
        clipped * advantage < times * advantage
    )
