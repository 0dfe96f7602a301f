"""What the bias model, or a policy's own habit, changes of a group's rewards and advantages.

With S the sum over a completion's tokens of log anchor - log initial model, e what it earns for
being right (a wrong one's is 0), c the coefficient, G completions a group:

    tie_break  reward - c e exp(min(0, S / tokens))         what the anchor would have said too
    unlikely   reward - c e (G - rank) / G                  what the policy itself finds likely
    discount   advantage + c e (mean p - p)                 what the anchor was taught
               p = max(0, 1 - exp(-S)), the mean over what is right, weighed by e;
               of an anchor that sees less, exp(min(0, S)): what is said without looking
    reweigh    advantage * (1 - c b)                        what the anchor gets right
               b = share of the group that is right, each weighed by anchor / sampler

The first two change what the group's own deviation then divides by, so that among right answers a
difference counts in full however small; the others come after it, and are as strong as c says.

Clark et al., "Don't Take the Easy Way Out" (2019), for reweigh; He et al., "Rewarding the Unlikely"
(2025), for unlikely, ranks counted from 0, which is the policy's likeliest. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from videothinker.config.kl import DEDUCTING, KLConfig
from videothinker.config.rewards import RIGHTNESS
from videothinker.types import AnchorScores, RolloutGroup

DEDUCTION = "deduction"
"""The part of a reward that tie_break and unlikely take off."""


def earned_by_being_right(rewards: Mapping[str, np.ndarray]) -> np.ndarray:
    """[G], of the rewards that are for the answer."""
    return np.asarray(np.sum([rewards[one] for one in RIGHTNESS if one in rewards], axis=0))


def deduction(
    group: RolloutGroup,
    rewards: Mapping[str, np.ndarray],
    anchor: AnchorScores | None,
    kl: KLConfig,
    coefficient: float,
) -> np.ndarray:
    """What right answers lose of their reward: [G], 0 or less."""
    assert kl.direction in DEDUCTING
    if kl.direction == "unlikely":
        taken = likeliness([float(one.logprobs.sum()) for one in group.completions])
    else:
        assert anchor is not None
        assert kl.compares == (anchor.initial_logprobs is not None), "the initial model's part"
        # the mean token's, so that long completions are not all equally unlikely
        taken = np.exp([min(0.0, gap.mean()) if len(gap) else 0.0 for gap in _gaps(anchor)])
    return np.asarray(-coefficient * taken * earned_by_being_right(rewards), np.float32)


def likeliness(logprobs: Sequence[float]) -> np.ndarray:
    """(G - rank) / G of each completion: 1 of the likeliest; those alike have the mean of their
    ranks, so that what is sampled twice is not told apart by its place."""
    values = np.asarray(logprobs)
    above = (values[None, :] > values[:, None]).sum(axis=1)
    alike = (values[None, :] == values[:, None]).sum(axis=1)
    ranks = above + (alike - 1) / 2
    return np.asarray((len(values) - ranks) / len(values))


def adjusted(
    advantages: np.ndarray,
    group: RolloutGroup,
    rewards: Mapping[str, np.ndarray],
    anchor: AnchorScores | None,
    kl: KLConfig,
    coefficient: float,
) -> np.ndarray:
    """Advantages [G] as discount or reweigh would have them; the others' as they are."""
    earned = earned_by_being_right(rewards)
    if kl.direction == "discount" and earned.any():
        assert anchor is not None
        known = _known(anchor, kl)
        apart = np.average(known, weights=earned) - known
        return np.asarray(advantages + coefficient * earned * apart, np.float32)
    if kl.direction == "reweigh":
        assert anchor is not None
        return np.asarray(
            advantages * (1 - coefficient * _right(group, earned, anchor)), np.float32
        )
    return advantages


def _known(anchor: AnchorScores, kl: KLConfig) -> np.ndarray:
    """p of a discount: [G], 0 to 1."""
    sums = np.array([float(gap.sum()) for gap in _gaps(anchor)])
    if kl.anchor_view == "video":  # of its chance with the anchor, what the initial model lacks
        return np.asarray(-np.expm1(-np.maximum(0.0, sums)))
    # of its chance with the initial model, what is left to whoever sees less
    return np.asarray(np.exp(np.minimum(0.0, sums)))


def _right(group: RolloutGroup, earned: np.ndarray, anchor: AnchorScores) -> float:
    """b of reweigh: how much of what the anchor says is right."""
    sampled = [one.logprobs for one in group.completions]
    times = [float((a - s).sum()) for a, s in zip(anchor.logprobs, sampled, strict=True)]
    weights = np.exp(np.array(times) - max(times))
    return float(np.average(earned > 0, weights=weights))


def _gaps(anchor: AnchorScores) -> list[np.ndarray]:
    """Of each token log anchor - log initial model, where that was asked."""
    initial = anchor.initial_logprobs or tuple(np.zeros_like(one) for one in anchor.logprobs)
    return [ours - theirs for ours, theirs in zip(anchor.logprobs, initial, strict=True)]
