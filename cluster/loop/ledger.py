"""The ledger of what is left out: each question with its reason, and not too many of them."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.workers.work import Prepared
from videothinker.errors import VideoThinkerError
from videothinker.process.metrics import QUESTIONS, SAMPLES_SKIPPED
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, Question

JUDGED_FROM = 20
"""Questions asked before a share means anything."""


class Ledger:
    """Writes RUN/skipped.jsonl, and stops a run that consists of what stands there."""

    def __init__(self, run: RunDirectory, allowed_share: float) -> None:
        self._run = run
        self._allowed = allowed_share
        self._asked = 0
        self._count = 0

    def prepared(self, stage: str, step: int, items: Sequence[Prepared]) -> None:
        """A step's questions; those without a prompt are left out, each with its reason."""
        self.asked(len(items))
        broken = [(item.question, item.failure) for item in items if item.failure is not None]
        for question, failure in broken:
            self._note(stage, step, question, failure)
        self._judge(len(broken))

    def asked(self, count: int) -> None:
        """So many questions more, before anything is known of them."""
        self._asked += count
        QUESTIONS.inc(count)

    def add(self, stage: str, step: int, question: Question, failure: Failure) -> None:
        """One that is left out; or asked again, where only its group was too old."""
        self._note(stage, step, question, failure)
        self._judge(failure.kind != "too_old")

    def _note(self, stage: str, step: int, question: Question, failure: Failure) -> None:
        SAMPLES_SKIPPED.labels(failure.kind).inc()
        self._run.skip(stage, step, question.id, failure.reason)

    def _judge(self, more: int) -> None:
        self._count += more
        if self._asked >= JUDGED_FROM and self._count > self._allowed * self._asked:
            raise VideoThinkerError(
                f"{self._count} of {self._asked} questions had to be left out, more than"
                f" data.max_skipped_share = {self._allowed:g} allows;"
                f" {self._run.path / 'skipped.jsonl'} has the reason of each. Mend or remove what"
                " it names, or allow a larger share"
            )
