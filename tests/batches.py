"""What the tests of the loss share: batches of log-probs, and what a loss does to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from videothinker.objective import policy_loss


def random_batch(seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """logp, anchor, advantages and mask of completions of 7, 3, 5 and 1 tokens.

    Two log-ratios are beyond 11, one to either side.
    """
    generator = torch.Generator().manual_seed(seed)
    logp = -3 * torch.rand(4, 7, generator=generator, dtype=dtype)
    anchor = -6 * torch.rand(4, 7, generator=generator, dtype=dtype)
    anchor[0, 0] -= 15
    logp[2, 1] -= 18
    advantages = torch.randn(4, generator=generator, dtype=dtype)
    lengths = torch.tensor([7, 3, 5, 1])
    mask = (torch.arange(7)[None] < lengths[:, None]).to(dtype)
    return logp.requires_grad_(), anchor, advantages, mask


def without_reward(
    logp: Tensor, anchor: Tensor, **options: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    """On-policy, advantages of zero, every token counts, repelled with a coefficient of 1."""
    defaults = {"coefficient": 1.0, "direction": "repel"}
    no_reward = torch.zeros(len(logp), dtype=logp.dtype)
    return policy_loss(
        logp, logp.detach(), anchor, no_reward, torch.ones_like(logp), **defaults | options
    )


def slope(loss: Tensor, by: Tensor) -> Tensor:
    """Gradient, with the graph left in place."""
    return torch.autograd.grad(loss, by, retain_graph=True)[0]
