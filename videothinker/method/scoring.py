"""From what completions earn to what the update needs: advantages within the group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from videothinker.config.kl import KLConfig
from videothinker.config.learner import AdvantageConfig
from videothinker.config.rewards import RIGHTNESS
from videothinker.types import AnchorScores, Completion, RolloutGroup, ScoredGroup

ANSWER_TAG = "<answer>"
DISCOUNT = "discount"
"""The part of the rewards that the anchor has a say in."""


def score_groups(
    groups: Sequence[tuple[RolloutGroup, dict[str, np.ndarray], AnchorScores | None]],
    kl: KLConfig | None = None,
    coefficient: float = 0.0,
    advantage: AdvantageConfig | None = None,
) -> list[ScoredGroup]:
    """Scores a step's groups, equally many completions each, from what these earn (`paying.py`);
    without a KL term there is no anchor.

    Together, because each call of torch lets another thread run Python and waits until it pauses.
    `kl` says which tokens feel that term; without it all do. A discount takes the step's
    `coefficient`.
    """
    import torch  # here, so that whoever only passes ScoredGroups on needs no torch

    from videothinker.method.advantages import group_advantages

    if not groups:
        return []
    rewards = [dict(earned) for _, earned, _ in groups]
    if kl is not None and kl.direction == "discount":
        for parts, (_, _, anchor) in zip(rewards, groups, strict=True):
            assert anchor is not None
            assert kl.compares == (anchor.initial_logprobs is not None), "the initial model's part"
            parts[DISCOUNT] = discount(parts, anchor, coefficient)
    totals = [total(parts) for parts in rewards]
    how = advantage or AdvantageConfig()
    weighed = group_advantages(torch.from_numpy(np.stack(totals)), how.scale, how.baseline)
    advantages = weighed.numpy().astype(np.float32)
    scored = zip(groups, rewards, advantages, strict=True)
    return [_scored(group, anchor, parts, own, kl) for (group, _, anchor), parts, own in scored]


def total(rewards: Mapping[str, np.ndarray]) -> np.ndarray:
    """What each completion earns of all rewards together: [G]."""
    return np.asarray(np.sum(list(rewards.values()), axis=0, dtype=np.float32))


def alike(rewards: Mapping[str, np.ndarray]) -> bool:
    """Whether all completions of a group earn the same, before any discount."""
    earned = total({name: values for name, values in rewards.items() if name != DISCOUNT})
    return bool((earned == earned[0]).all())


def teaches(earned: Mapping[str, np.ndarray], kl: KLConfig) -> bool:
    """Whether its completions differ in what they earn, or the anchor may yet tell them apart: by
    a discount, if any of them earned something for its answer.
    """
    answered = any(earned[name].any() for name in RIGHTNESS if name in earned)
    return not alike(earned) or (kl.direction == "discount" and answered)


def unscored(group: RolloutGroup, earned: Mapping[str, np.ndarray], kl: KLConfig) -> ScoredGroup:
    """A group that teaches nothing, as it is kept: nobody asked the anchor, and there was nothing
    to discount.
    """
    nothing = np.zeros(len(group.completions), np.float32)
    discounted = {DISCOUNT: nothing} if kl.direction == "discount" else {}
    return ScoredGroup(
        group=group,
        rewards={**earned, **discounted},
        advantages=nothing,
        anchor_logprobs=None,
        left_out=True,
    )


def discount(
    rewards: Mapping[str, np.ndarray], anchor: AnchorScores, coefficient: float
) -> np.ndarray:
    """What right answers lose for being what the anchor would have said: [G], 0 or less.

    Of the rewards for being right, the coefficient's share at a likelihood of 1. The likelihood is
    the mean token's, so that long completions are not all equally unlikely; compared with the
    initial model's where that was asked, so that words are not unlikely only for being strange.
    """
    initial = anchor.initial_logprobs or tuple(np.zeros_like(one) for one in anchor.logprobs)
    gaps = [ours - theirs for ours, theirs in zip(anchor.logprobs, initial, strict=True)]
    likely = np.exp([min(0.0, gap.mean()) if len(gap) else 0.0 for gap in gaps])
    earned = np.sum([rewards[name] for name in RIGHTNESS if name in rewards], axis=0)
    return np.asarray(-coefficient * likely * earned, np.float32)


def _scored(
    group: RolloutGroup,
    anchor: AnchorScores | None,
    rewards: dict[str, np.ndarray],
    advantages: np.ndarray,
    kl: KLConfig | None,
) -> ScoredGroup:
    if anchor is not None:
        lengths = [len(completion.token_ids) for completion in group.completions]
        anchored = [len(logprobs) for logprobs in anchor.logprobs]
        assert anchored == lengths, f"anchor scored {anchored} tokens, sampled were {lengths}"
    return ScoredGroup(
        group=group,
        rewards=rewards,
        advantages=advantages.copy(),  # not a view that keeps the whole step's
        anchor_logprobs=None if anchor is None else anchor.logprobs,
        divergence_mask=None if kl is None else divergence_mask(group.completions, advantages, kl),
        anchor_hidden=None if anchor is None else anchor.hidden,
        anchor_seconds=0.0 if anchor is None else anchor.seconds,
        anchor_saw_all=anchor is None or anchor.saw_all,
    )


def divergence_mask(
    completions: Sequence[Completion], advantages: np.ndarray, kl: KLConfig
) -> tuple[np.ndarray, ...] | None:
    """Which tokens of a group feel the divergence; None where all do.

    The answer is everything from its tag on, the thinking everything before; a completion without
    the tag is thinking to its end.
    """
    if kl.direction == "none":
        return None
    if kl.skip_equal_groups and not advantages.any():
        return tuple(np.zeros(len(one.token_ids), bool) for one in completions)
    if kl.applies_to == "all":
        return None
    masks = []
    for one in completions:
        place = np.arange(len(one.token_ids))
        start = len(place) if one.answer_start is None else one.answer_start
        masks.append(place >= start if kl.applies_to == "answer" else place < start)
    return tuple(masks)


def answer_start(token_ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> int | None:
    """Index of the token in which the first <answer> tag begins, None without one.

    Found by decoding ever smaller parts: a tag may share a token with what stands beside it.
    """
    if ANSWER_TAG not in decode(token_ids):
        return None

    def complete(count: int) -> bool:
        return ANSWER_TAG in decode(token_ids[:count])

    def cut_into(start: int) -> bool:
        return ANSWER_TAG not in decode(token_ids[start:end])

    end = bisect_left(range(len(token_ids)), True, key=complete)
    first = max(0, end - len(ANSWER_TAG))  # a token holds at least one of its characters
    return first + bisect_left(range(first, end), True, key=cut_into) - 1
