"""From rewards to advantages: each completion against its own group.

    baseline  mean           the group's mean
              leave_one_out  the mean of the others, which is the above times G / (G - 1)
    scale     std            divided by the group's standard deviation: all groups count alike,
                             however little their rewards differ
              none           as it is: a group counts by how much its rewards differ
              batch          divided by the standard deviation of all rewards of the step

A group of equal rewards has advantages of 0 with each. Shao et al., "DeepSeekMath" (2024), for std;
Liu et al., "Understanding R1-Zero-Like Training" (2025), for none; Ahmadian et al., "Back to
Basics" (2024), for leave_one_out; Liu et al., "Tricks or Traps?" (2025), for batch.
"""

from __future__ import annotations

from torch import Tensor

from videothinker.config.learner import Baseline, Scale

TINY = 1e-4
"""Added to a standard deviation."""


def group_advantages(rewards: Tensor, scale: Scale = "std", baseline: Baseline = "mean") -> Tensor:
    """Rewards [P, G] against their own group; deviations are the unbiased ones."""
    advantages = rewards - rewards.mean(dim=1, keepdim=True)
    if baseline == "leave_one_out":
        count = rewards.shape[1]
        advantages = advantages * count / (count - 1)
    if scale == "none":
        return advantages
    within = rewards.std(dim=1, keepdim=True) if scale == "std" else rewards.std()
    return advantages / (within + TINY)
