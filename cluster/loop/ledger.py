"""Questions that cannot be asked: into the ledger, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.workers.work import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.process.metrics import QUESTIONS, SAMPLES_SKIPPED
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, Question

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
        QUESTIONS.inc(len(prepared))
        broken = [(item, item.failure) for item in prepared if item.failure is not None]
        for item, failure in broken:
            self.note(stage, step, item.question, failure)
        self._judge(len(broken))
        return [item for item in prepared if item.failure is None]

    def add(self, stage: str, step: int, question: Question, reason: str) -> None:
        """One more that was left out after all: it cost too many processes."""
        self.note(stage, step, question, Failure(kind="processes_lost", reason=reason))
        self._judge(1)

    def note(self, stage: str, step: int, question: Question, failure: Failure) -> None:
        """Into the ledger, though the question may be asked again."""
        SAMPLES_SKIPPED.labels(failure.kind).inc()
        self._run.skip(stage, step, question.id, failure.reason)

    def _judge(self, more: int) -> None:
        self._count += more
        if self._asked >= JUDGED_FROM and self._count > self._allowed * self._asked:
            raise VideoThinkerError(
                f"{self._count} of {self._asked} questions had to be left out, more than"
                f" data.max_skipped_share = {self._allowed:g} allows;"
                f" {self._run.path / 'skipped.jsonl'} has the reason of each. Mend or remove the"
                " videos it names, or allow a larger share"
            )
