"""What an arm met in training: right answers to inferential questions, step by step.

Of a group without a right answer nothing can be learned, whatever the policy would have needed to
learn. So the share of groups that have one says whether an arm could still have turned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from videothinker.method.rewards import soft_accuracy
from videothinker.run.rollout_files import rollout_steps
from videothinker.run.rollouts import read_groups

SERIES = {
    "right": "right answers to inferential questions in training",
    "answered": "inferential groups with a right answer",
}
"""right: of the policy's own completions. answered: of all, with those of the base that are
replayed."""
COLUMNS = ("category", "completions", "answer")
Learning = Mapping[int, Mapping[str, np.ndarray]]
"""Of one arm of one cell: by step and series, the values of the step's inferential groups."""


def learning(run: Path, arm: str, replayed: int) -> Learning:
    """From the rollouts of a run's stage, whose groups end with the completions replayed."""
    found: dict[int, dict[str, np.ndarray]] = {}
    for step in rollout_steps(run, arm):
        groups = [
            np.array([soft_accuracy(text, row["answer"]) == 1 for text in row["completions"]])
            for row in read_groups(run, arm, step, COLUMNS, every=True)
            if row["category"] == "inferential"
        ]
        own = [group[: len(group) - replayed] for group in groups]
        found[step] = {
            "right": np.array([group.mean() for group in own]),
            "answered": np.array([group.any() for group in groups], float),
        }
    return found


def by_step(some: Iterable[Learning]) -> dict[str, list[float | None]]:
    """Over cells: each series' mean at each step, None where nobody was asked."""
    cells = list(some)
    steps = range(1, max((step for cell in cells for step in cell), default=0) + 1)
    return {
        name: [_mean([cell[step][name] for cell in cells if step in cell]) for step in steps]
        for name in SERIES
    }


def _mean(groups: Sequence[np.ndarray]) -> float | None:
    """Each group counts once."""
    values = np.concatenate(groups) if groups else np.array([])
    return float(values.mean()) if len(values) else None
