"""What the first steps of an arm pull at: the choice between the two wordings, or something else.

Both ways of answering begin alike and part at one token. With z the log-odds of reasoning there, a
completion of T tokens adds to the gain's slope

    d gain / dz = force / T * (s - p)

s is 1 for a completion that reasons and 0 for the shortcut, p the policy's probability of reasoning
at that token. The force is what a token's log-prob is pulled with: the advantage, and beside it the
gradient of k3, direction * coefficient * (1 - anchor / policy). The slope is positive where the
step makes reasoning likelier. What the divergence does to the other tokens is counted by its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from videothinker.config.kl import KLConfig
from videothinker.mini.texts import OPENINGS, style_of
from videothinker.run.rollouts import read_groups

SIGN = {"repel": 1.0, "attract": -1.0}
FIRST_STEPS = 10
"""Later the groups of most arms have one wording only, and no slope."""
PULLS = ("observational", "inferential", "all", "divergence", "choice", "elsewhere")
"""observational, inferential, all: the slope by the advantages, over the groups of such questions.
divergence: the slope by the divergence. choice, elsewhere: the size of the divergence's force on
the token where the wordings part, and the sum of its sizes on all others, divided by T."""
COLUMNS = ("category", "completions", "logprobs", "advantages", "anchor_logprobs")
Pull = Mapping[str, np.ndarray]
"""Of one arm of one cell: by name, its groups' values."""


def pull(run: Path, arm: str, base: Path, kl: KLConfig) -> Pull | None:
    """From the rollouts of a run's stage; None for a divergence that is no function of log-probs
    alone."""
    if kl.direction in ("repel", "attract") and (kl.estimator != "k3" or kl.target is not None):
        return None
    place = parting(base)
    found: dict[str, list[float]] = {name: [] for name in PULLS}
    for step in range(1, FIRST_STEPS + 1):
        felt = kl.model_copy(update={"coefficient": kl.scheduled(step)})
        for row in read_groups(run, arm, step, COLUMNS):
            for name, value in group_pull(row, place, felt).items():
                found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def parting(base: Path) -> int:
    """Index of the token at which the two wordings part."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    shortcut, reasoning = (tokenizer.encode(text).ids for text in OPENINGS.values())
    return next(
        place
        for place, pair in enumerate(zip(shortcut, reasoning, strict=False))
        if pair[0] != pair[1]
    )


def group_pull(row: Mapping[str, Any], place: int, kl: KLConfig) -> dict[str, float]:
    """Of a row of a rollouts file: what its group adds, in the mean over its completions."""
    anchors = row["anchor_logprobs"] or [None] * len(row["completions"])
    found = []
    for text, logprobs, advantage, anchor in zip(
        *(row["completions"], row["logprobs"], row["advantages"], anchors), strict=True
    ):
        own, style = np.array(logprobs), style_of(text)
        forces = _forces(own, anchor, kl) / len(own)
        everywhere = np.abs(forces).sum()
        if style is None:  # it parted from both, maybe before that token
            found.append((0.0, 0.0, 0.0, everywhere))
            continue
        likely, size = float(np.exp(own[place])), abs(forces[place])
        lever = 1 - likely if style == "reasoning" else likely - 1
        slopes = (advantage / len(own) * lever, forces[place] * lever)
        found.append((*slopes, size, everywhere - size))
    names = ("all", "divergence", "choice", "elsewhere")
    means = dict(zip(names, np.mean(found, 0).tolist(), strict=True))
    return means | {row["category"]: means["all"]}


def _forces(logprobs: np.ndarray, anchor: Sequence[float] | None, kl: KLConfig) -> np.ndarray:
    """On each token by the divergence."""
    if anchor is None or kl.direction not in SIGN:
        return np.zeros(len(logprobs))
    log_ratio = (np.array(anchor) - logprobs).clip(-kl.bound, kl.bound)
    return np.asarray(SIGN[kl.direction] * kl.coefficient * (1 - np.exp(log_ratio)))


def mean_pull(some: Iterable[Pull | None]) -> dict[str, float] | None:
    """Of the groups of all cells; None where nothing can be said of any."""
    known = [one for one in some if one is not None]
    if not known:
        return None
    values = {name: np.concatenate([one[name] for one in known]) for name in PULLS}
    return {name: float(found.mean()) for name, found in values.items() if len(found)}
