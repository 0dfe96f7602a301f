"""Passes through the questions that let those rest which the policy gets right or wrong nearly
always; what has been answered so far decides, and nothing else."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from videothinker.data.stream import order
from videothinker.errors import InputError
from videothinker.types import Question, Wording

logger = logging.getLogger(__name__)

Success = float | None
"""The share of a group's completions that were right; None where there was no group."""


class RestingStream:
    """Endless passes, each without the questions that rest in it.

    A question rests in a pass if its last group that is known had a success out of bounds, and was
    of one of the `rest` passes before. Known is what lies `window` positions or more before the
    pass begins: so far ahead nothing is ever drawn, so that all of it is on the disk.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        seed: int,
        wordings: Sequence[Wording],
        *,
        bounds: tuple[float, float],
        rest: int,
        window: int,
        least_left: int,
        answered: Callable[[int], Sequence[Success]],
    ) -> None:
        if not questions:
            raise InputError("questions: none to train on. Check the stage's `questions` file.")
        self.questions = tuple(questions)
        self._seed, self._wordings = seed, wordings
        self._bounds, self._rest, self._window = bounds, rest, window
        self._least_left = least_left
        self._answered, self._known = answered, list[Success]()
        whole = order(len(questions), seed, 0)
        self._first = np.argsort(whole)
        self._passes = [(0, whole)]
        """Of each that is known, where it begins and whom it asks, in that order."""

    def drawn(self, first: int, size: int) -> list[Question]:
        """So many from a position on, as of a QuestionStream."""
        if first < 0:
            raise ValueError(f"positions count from 0, got {first}")
        return [self._at(position) for position in range(first, first + size)]

    def figures(self, first: int, asked: Sequence[Question]) -> dict[str, float]:
        """As of a QuestionStream."""
        return {"resting": len(self.questions) - len(self._passes[self._pass_of(first)][1])}

    def about(self) -> dict[str, Any]:
        """Likewise."""
        return {"questions": len(self.questions)}

    def _at(self, position: int) -> Question:
        number = self._pass_of(position)
        start, asked = self._passes[number]
        index = int(asked[position - start])
        turn = int(self._first[index]) + number
        return replace(self.questions[index], wording=self._wordings[turn % len(self._wordings)])

    def _pass_of(self, position: int) -> int:
        """The number of the pass that a position is in."""
        while position >= self._end():
            self._passes.append((self._end(), self._next()))
        return bisect_right(self._passes, position, key=lambda one: one[0]) - 1

    def _end(self) -> int:
        """Where the last pass that is known ends."""
        start, asked = self._passes[-1]
        return start + len(asked)

    def _next(self) -> np.ndarray:
        """Whom the pass after those known asks."""
        whole = order(len(self.questions), self._seed, len(self._passes))
        resting = self._resting(self._end() - self._window)
        left = whole[~np.isin(whole, list(resting))]
        if len(left) >= self._least_left:
            return left
        logger.warning(
            "pass %d through the questions asks all %d of them: only %d are within the bounds of"
            " stages.N.draw, fewer than a step asks",
            *(len(self._passes) + 1, len(whole), len(left)),
        )
        return whole

    def _resting(self, known: int) -> set[int]:
        """Places of the questions whose last group before a position was out of bounds."""
        least, most = self._bounds
        if len(self._known) < known:
            self._known = [*self._answered(known)]
        last: dict[int, float] = {}
        for start, asked in self._passes[-self._rest :]:
            those = self._known[start : max(start, known)]
            last |= {int(n): one for n, one in zip(asked, those, strict=False) if one is not None}
        return {place for place, success in last.items() if not least <= success <= most}
