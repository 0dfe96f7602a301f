"""Questions that cannot be asked: into the ledger, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.work import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.run import RunDirectory
from videothinker.types import Question

JUDGED_FROM = 20
"""Questions asked before a share means anything."""


class LeftOut:
    """Sorts questions without a prompt out, and stops a run that consists of them."""

    def __init__(self, run: RunDirectory, allowed_share: float) -> None:
        self._run = run
        self._allowed = allowed_share
        self._asked = 0
        self._count = 0

    def sort(self, stage: str, step: int, prepared: Sequence[Prepared]) -> list[Prepared]:
        """Those that can be asked; the others are in skipped.jsonl, each with its reason."""
        self._asked += len(prepared)
        broken = [item for item in prepared if item.failure is not None]
        for item in broken:
            self.note(stage, step, item.question, str(item.failure))
        self._judge(len(broken))
        return [item for item in prepared if item.failure is None]

    def add(self, stage: str, step: int, question: Question, reason: str) -> None:
        """One more that was left out after all."""
        self.note(stage, step, question, reason)
        self._judge(1)

    def note(self, stage: str, step: int, question: Question, reason: str) -> None:
        """Into the ledger, though the question will be asked again."""
        self._run.skip(stage, step, question.id, reason)

    def _judge(self, more: int) -> None:
        self._count += more
        if self._asked >= JUDGED_FROM and self._count > self._allowed * self._asked:
            raise VideoThinkerError(
                f"{self._count} of {self._asked} questions had to be left out, more than"
                f" data.max_skipped_share = {self._allowed:g} allows;"
                f" {self._run.path / 'skipped.jsonl'} has the reason of each. Mend or remove the"
                " videos it names, or allow a larger share"
            )
