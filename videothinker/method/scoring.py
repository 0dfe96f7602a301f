"""From what completions earn to what the update needs: advantages within the group."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from videothinker.config.kl import DEDUCTING, KLConfig
from videothinker.config.learner import AdvantageConfig
from videothinker.method.debias import (
    DEDUCTION,
    adjusted,
    deduction,
    earned_by_being_right,
)
from videothinker.types import AnchorScores, Completion, RolloutGroup, ScoredGroup

ANSWER_TAG = "<answer>"


def score_groups(
    groups: Sequence[tuple[RolloutGroup, dict[str, np.ndarray], AnchorScores | None]],
    kl: KLConfig | None = None,
    coefficient: float = 0.0,
    advantage: AdvantageConfig | None = None,
) -> list[ScoredGroup]:
    """Scores a step's groups, equally many completions each, from what these earn (`paying.py`);
    a direction that asks no anchor has none.

    Together, because each call of torch lets another thread run Python and waits until it pauses.
    `kl` says which tokens feel its divergence, or what else it changes (`debias.py`), by the step's
    `coefficient`.
    """
    import torch  # here, so that whoever only passes ScoredGroups on needs no torch

    from videothinker.method.advantages import group_advantages

    def against_groups(rewards: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
        totals = torch.from_numpy(np.stack([total(parts) for parts in rewards]))
        how = advantage or AdvantageConfig()
        return group_advantages(totals, how.scale, how.baseline).numpy().astype(np.float32)

    if not groups:
        return []
    kl = kl or KLConfig()
    rewards = [dict(earned) for _, earned, _ in groups]
    plain = weighed = against_groups(rewards)
    if kl.direction in DEDUCTING:
        for parts, (group, _, anchor) in zip(rewards, groups, strict=True):
            parts[DEDUCTION] = deduction(group, parts, anchor, kl, coefficient)
        weighed = against_groups(rewards)
    return [
        _scored(
            *(group, anchor, parts, own, kl),
            adjusted(advantages, group, parts, anchor, kl, coefficient),
        )
        for (group, _, anchor), parts, own, advantages in zip(
            groups, rewards, plain, weighed, strict=True
        )
    ]


def total(rewards: Mapping[str, np.ndarray]) -> np.ndarray:
    """What each completion earns of all rewards together: [G]."""
    return np.asarray(np.sum(list(rewards.values()), axis=0, dtype=np.float32))


def alike(rewards: Mapping[str, np.ndarray]) -> bool:
    """Whether all completions of a group earn the same, before any deduction."""
    earned = total({name: values for name, values in rewards.items() if name != DEDUCTION})
    return bool((earned == earned[0]).all())


def teaches(earned: Mapping[str, np.ndarray], kl: KLConfig) -> bool:
    """Whether its completions differ in what they earn, or may yet be told apart if any of them
    earned something for its answer.
    """
    told_apart = kl.direction in (*DEDUCTING, "discount")
    return not alike(earned) or (told_apart and bool(earned_by_being_right(earned).any()))


def unscored(group: RolloutGroup, earned: Mapping[str, np.ndarray], kl: KLConfig) -> ScoredGroup:
    """A group that teaches nothing, as it is kept: nobody asked the anchor, and there was nothing
    to take off.
    """
    nothing = np.zeros(len(group.completions), np.float32)
    deducted = {DEDUCTION: nothing} if kl.direction in DEDUCTING else {}
    return ScoredGroup(
        group=group,
        rewards={**earned, **deducted},
        advantages=nothing,
        anchor_logprobs=None,
        left_out=True,
    )


def _scored(
    group: RolloutGroup,
    anchor: AnchorScores | None,
    rewards: dict[str, np.ndarray],
    plain: np.ndarray,
    kl: KLConfig,
    advantages: np.ndarray,
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
        divergence_mask=divergence_mask(group.completions, advantages, kl),
        anchor_hidden=None if anchor is None else anchor.hidden,
        anchor_seconds=0.0 if anchor is None else anchor.seconds,
        debias=advantages - plain if kl.debiases else None,
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
