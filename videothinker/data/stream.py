"""The order in which questions are read: a function of seed and position, so it resumes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from videothinker.errors import InputError
from videothinker.types import Question, Wording


def order(n_questions: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of one epoch; each epoch has its own, and neither depends on the others."""
    return np.random.default_rng([seed, epoch]).permutation(n_questions)


def select(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """A seeded draw of some of the questions; all of them, in order, where the limit allows.

    The draw is that of the published script, which keeps the first LIMIT rows of a data set
    shuffled by the Hugging Face library: same questions for the same file and seed.
    """
    if limit is None or len(questions) <= limit:
        return list(questions)
    drawn = np.random.default_rng(seed).permutation(len(questions))[:limit]
    return [questions[int(place)] for place in drawn]


class Stream(Protocol):
    """An endless sequence of a stage's questions, in which a position says which one it is."""

    questions: tuple[Question, ...]

    def drawn(self, first: int, size: int) -> list[Question]:
        """So many from a position on; positions count from 0."""

    def figures(self, first: int, asked: Sequence[Question]) -> dict[str, float]:
        """What a step's line says of what it asked from a position on."""

    def about(self) -> dict[str, Any]:
        """What is drawn from, for whoever reads about the run."""


class QuestionStream:
    """Endless shuffled epochs over a list of questions.

    Nothing moves inside: what is drawn is computed from its place in the sequence alone. Going on
    after a crash, or drawing again, is the same call again.
    """

    def __init__(
        self, questions: Sequence[Question], seed: int, wordings: Sequence[Wording] = ("training",)
    ) -> None:
        if not questions:
            raise InputError("questions: none to train on. Check the stage's `questions` file.")
        self.questions = tuple(questions)
        self.seed = seed
        self._wordings = wordings
        self._first = np.argsort(order(len(questions), seed, 0))

    def drawn(self, first: int, size: int) -> list[Question]:
        """So many from a position on; every epoch asks each question once, and what reaches the end
        of one goes on with the next.
        """
        if first < 0:
            raise ValueError(f"positions count from 0, got {first}")
        count = len(self.questions)
        orders: dict[int, np.ndarray] = {}
        chosen = []
        for position in range(first, first + size):
            epoch, place = divmod(position, count)
            if epoch not in orders:
                orders[epoch] = self._round(epoch)
            chosen.append(self._worded(int(orders[epoch][place]), epoch))
        return chosen

    def figures(self, first: int, asked: Sequence[Question]) -> dict[str, float]:
        """Nothing beside how they were answered."""
        return {}

    def about(self) -> dict[str, Any]:
        """How many there are."""
        return {"questions": len(self.questions)}

    def _round(self, epoch: int) -> np.ndarray:
        """The questions of an epoch, by their place in the file."""
        return order(len(self.questions), self.seed, epoch)

    def _worded(self, index: int, epoch: int) -> Question:
        """A question in the wording whose turn it is: they alternate along the first epoch's order,
        and each question has the next one in each epoch."""
        turn = int(self._first[index]) + epoch
        return replace(self.questions[index], wording=self._wordings[turn % len(self._wordings)])


class SharedStream:
    """Two sequences as one: a share of any few in a row comes from the first of them, the questions
    that were answered wrong.

    As pure as they are: a position says which of the two, and where in it.
    """

    def __init__(self, first: QuestionStream, rest: QuestionStream, share: float) -> None:
        self.questions = (*first.questions, *rest.questions)
        self._streams = (rest, first)
        self._share = share
        self._wrong = frozenset(question.id for question in first.questions)

    def drawn(self, first: int, size: int) -> list[Question]:
        """So many from a position on, as of any Stream."""
        if first < 0:
            raise ValueError(f"positions count from 0, got {first}")
        marks = [int(position * self._share) for position in range(first, first + size + 1)]
        chosen = []
        for position, (before, after) in enumerate(pairwise(marks), start=first):
            place = before if after > before else position - before
            chosen += self._streams[after > before].drawn(place, 1)
        return chosen

    def figures(self, first: int, asked: Sequence[Question]) -> dict[str, float]:
        """As of any Stream."""
        return {"asked_wrong": sum(one.id in self._wrong for one in asked) / len(asked)}

    def about(self) -> dict[str, Any]:
        """As of any Stream."""
        return {"questions": len(self.questions), "wrong": len(self._wrong)}


class UnsharedStream(QuestionStream):
    """Each once in every round, because all of them were answered alike and there is no share."""

    def __init__(
        self, questions: Sequence[Question], seed: int, wordings: Sequence[Wording], wrong: int
    ) -> None:
        super().__init__(questions, seed, wordings)
        self._wrong = wrong

    def about(self) -> dict[str, Any]:
        """Likewise."""
        return {**super().about(), "wrong": self._wrong, "instead": "uniform"}


class WeightedStream(QuestionStream):
    """Endless shuffled rounds of as many places as there are questions, of which each has as many
    as its weight says."""

    def __init__(
        self,
        questions: Sequence[Question],
        weights: Sequence[float],
        seed: int,
        wordings: Sequence[Wording],
    ) -> None:
        super().__init__(questions, seed, wordings)
        self._weights = np.array(weights)
        self._known = dict(zip([one.id for one in questions], weights, strict=True))

    def figures(self, first: int, asked: Sequence[Question]) -> dict[str, float]:
        """As of any Stream."""
        return {"asked_weight": sum(self._known[one.id] for one in asked) / len(asked)}

    def about(self) -> dict[str, Any]:
        """Likewise."""
        never = int((self._weights == 0).sum())
        return {**super().about(), "never": never, "mean_weight": float(self._weights.mean())}

    def _round(self, epoch: int) -> np.ndarray:
        offset = np.random.default_rng([self.seed, epoch, 1]).random()
        often = times(self._weights, offset)
        places = np.repeat(np.arange(len(often)), often)
        return places.take(super()._round(epoch))


def times(weights: np.ndarray, offset: float) -> np.ndarray:
    """How often each question is drawn in a round: with n of them, and n times the share that the
    first i have of all weights as C_i, floor(C_i + offset) - floor(C_(i - 1) + offset).

    So it is n times the question's own share, rounded down or up; over all offsets from 0 to 1 the
    mean is exactly that, and the sum is n for each of them.
    """
    reached = np.cumsum(weights / weights.max())
    marks = np.floor(len(weights) * (reached / reached[-1]) + offset)
    return np.diff(marks, prepend=0).astype(int)


def shared(
    questions: Sequence[Question],
    wrong: Collection[str],
    share: float,
    seed: int,
    wordings: Sequence[Wording],
) -> Stream:
    """A share from the questions that were answered wrong, the others from the rest; all alike
    where one of the two is empty."""
    hard, rest = (
        [one for one in questions if (one.id in wrong) == which] for which in (True, False)
    )
    if not hard or not rest:
        return UnsharedStream(questions, seed, wordings, len(hard))
    first, others = (QuestionStream(part, seed, wordings) for part in (hard, rest))
    return SharedStream(first, others, share)
