"""From sampled completions to what the update needs: rewards, then advantages within the group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from videothinker.rewards import score
from videothinker.types import RolloutGroup, ScoredGroup


def score_group(
    group: RolloutGroup,
    reward_names: Sequence[str],
    anchor_logprobs: Sequence[np.ndarray] | None,
) -> ScoredGroup:
    """Scores one whole group; anchor_logprobs holds G arrays of [T], or None without a KL term."""
    import torch  # here, so that whoever only passes ScoredGroups on needs no torch

    from videothinker.objective import group_advantages

    if anchor_logprobs is not None:
        lengths = [len(completion.token_ids) for completion in group.completions]
        anchored = [len(logprobs) for logprobs in anchor_logprobs]
        assert anchored == lengths, f"anchor scored {anchored} tokens, sampled were {lengths}"
    texts = [completion.text for completion in group.completions]
    rewards = score(reward_names, texts, group.question.answer)
    total = np.sum(list(rewards.values()), axis=0, dtype=np.float32)
    advantages = group_advantages(torch.from_numpy(total)[None])[0].numpy()
    return ScoredGroup(
        group=group,
        rewards=rewards,
        advantages=advantages.astype(np.float32),
        anchor_logprobs=None if anchor_logprobs is None else tuple(anchor_logprobs),
    )
