"""What the tests of loss and learner share.

Batches of log-probs, and what a loss does to them; groups of completions that nobody sampled.
"""

from __future__ import annotations

from typing import Any

import builders
import numpy as np
import torch
from builders import completion
from torch import Tensor

from videothinker.method.objective import group_advantages, policy_loss
from videothinker.types import Prompt, RolloutGroup, ScoredGroup

Batch = list[tuple[ScoredGroup, Prompt]]


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


def made_up(prompts: list[Prompt], step: int, lengths: tuple[int, ...] = (5, 9, 3)) -> Batch:
    """Two groups of completions that nobody sampled."""
    generator = np.random.default_rng(step)
    return [(group(prompt, generator, lengths), prompt) for prompt in prompts]


def group(
    prompt: Prompt,
    generator: np.random.Generator,
    lengths: tuple[int, ...],
    finished: tuple[str, ...] = ("stop", "stop", "length"),
    advantages: np.ndarray | None = None,
) -> ScoredGroup:
    completions = [
        completion("", generator.integers(5, 90, size=length), logprobs=-4.0, finish_reason=reason)
        for length, reason in zip(lengths, finished, strict=True)
    ]
    rewards = generator.random(len(lengths), dtype=np.float32)
    if advantages is None:
        advantages = group_advantages(torch.from_numpy(rewards)[None])[0].numpy()
    return ScoredGroup(
        group=builders.group(
            *completions, about=prompt.question, prompt_tokens=len(prompt.token_ids)
        ),
        rewards={"made_up": rewards},
        advantages=advantages,
        anchor_logprobs=None,
    )


def with_made_up_rewards(group: RolloutGroup, seed: int) -> ScoredGroup:
    """An untrained model earns nothing; made-up rewards move every weight all the same."""
    rewards = np.random.default_rng(seed).random(len(group.completions), dtype=np.float32)
    advantages = group_advantages(torch.from_numpy(rewards)[None])[0].numpy()
    return ScoredGroup(
        group=group, rewards={"made_up": rewards}, advantages=advantages, anchor_logprobs=None
    )


def uneven(prompts: list[Prompt]) -> Batch:
    """Two groups of 17 and 6 tokens; in each, the last completion is cut off."""
    generator = np.random.default_rng(5)
    long = group(prompts[0], generator, (5, 9, 3), advantages=np.array([1.0, 2.0, -3.0], "f"))
    short = group(prompts[1], generator, (1, 2, 3), advantages=np.array([4.0, -2.0, -2.0], "f"))
    return [(long, prompts[0]), (short, prompts[1])]
