"""What the learner does of a step before its last group is there (`learner.overlap`).

    asked     g0  g1  g2  g3  g4          groups in their order, each known once all before it are
    rows      [g0  g1] [g2] [g3  g4]      a row ends where the next group would find no room
    ahead      with g2, with g3           its gradient; what is left comes with the update

So rows, and the order in which gradients are added up, follow from the groups alone, never from
when they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.workers.shares import Dealt, consecutive, dealt_in_turn, is_full
from cluster.workers.work import Prepared
from videothinker.types import ScoredGroup


@dataclass(eq=False, kw_only=True)
class Ahead:
    """A step's groups so far, and how many of their rows the learner has been given."""

    step: int
    asked: int
    """Questions of the step, over which its mean is: one that is lost on the way counts as one that
    says nothing, since others may have been learned from by then."""
    scored: list[tuple[ScoredGroup, Prepared]] = field(default_factory=list)
    given: int = 0

    def due(self, ranks: int) -> list[list[Dealt]]:
        """Rows that no later group changes, of those not given yet."""
        lengths = [group.group.tokens for group, _ in self.scored]
        rows = consecutive(lengths, ranks)
        more = len(lengths) < self.asked and is_full(lengths[rows[-1].start :], ranks)
        return [self._dealt(row, ranks) for row in rows[self.given : len(rows) - (not more)]]

    def rest(self, ranks: int) -> list[Dealt]:
        """The last row; where it was given, and nothing came after it, nothing is added."""
        rows = consecutive([group.group.tokens for group, _ in self.scored], ranks)
        if self.given == len(rows):
            return [[(len(self.scored) - 1, 0.0)] for _ in range(ranks)]
        return self._dealt(rows[-1], ranks)

    def _dealt(self, row: range, ranks: int) -> list[Dealt]:
        return dealt_in_turn(row, ranks, 1 / self.asked)
