"""Questions that cannot be asked: into the ledger, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.fleet import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.run import RunDirectory

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
        usable = []
        for item in prepared:
            if item.failure is None:
                usable.append(item)
            else:
                self._run.skip(stage, step, item.question.id, item.failure)
        self._asked += len(prepared)
        self._count += len(prepared) - len(usable)
        if self._asked >= JUDGED_FROM and self._count > self._allowed * self._asked:
            raise VideoThinkerError(
                f"{self._count} of {self._asked} questions had to be left out, more than"
                f" data.max_skipped_share = {self._allowed:g} allows;"
                f" {self._run.path / 'skipped.jsonl'} has the reason of each. Mend or remove the"
                " videos it names, or allow a larger share"
            )
        return usable
