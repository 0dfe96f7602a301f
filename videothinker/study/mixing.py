"""A mix of questions that gives the shortcut nothing to win."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from videothinker.types import Question


def balanced(questions: Sequence[Question], seed: int = 0) -> list[Question]:
    """As many observational as inferential questions, as many as there are, in the given order."""
    kinds = ("observational", "inferential")
    places = [[i for i, q in enumerate(questions) if q.category == kind] for kind in kinds]
    fewest = min(map(len, places))
    rng = np.random.default_rng(seed)
    kept = np.sort(np.concatenate([rng.permutation(some)[:fewest] for some in places]))
    return [questions[int(place)] for place in kept]
