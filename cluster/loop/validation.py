"""How well a stage answers while it trains: every so many steps, by the engines that train it.

    published(step)  -> begin(step)   the questions wait behind the next step's groups
    learn(step + 1)                   engines answer them with the weights of `step` meanwhile
    before published(step + 1)        finish(): whatever is not answered yet is waited for

So every answer is one model's, and the time that training waits is all that it costs.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.loop.asking import Asking
from cluster.loop.ledger import Ledger
from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.asked import validation_questions
from videothinker.evaluation.scores import diagnose_each
from videothinker.files import read_lines
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import answered_together
from videothinker.process.metrics import show_validation
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, Question


@dataclass(eq=False, kw_only=True)
class Validation:
    """One stage's; without questions, or where the stage wants none, nothing happens."""

    config: RunConfig
    stage: StageConfig
    fleet: Fleet
    run: RunDirectory
    ledger: Ledger
    export: Callable[[Path, int], object]
    """The learner's policy as the model of a step, into a folder."""
    _questions: list[Question] = field(init=False)
    _lines: list[dict[str, Any]] = field(init=False)
    _step: int = field(init=False, default=0)
    _answering: asyncio.Task[dict[Question, str]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        config, stage, run = self.config, self.stage, self.run.path
        self._questions = []
        if stage.validate_every:
            self._questions = validation_questions(config, run, stage.validate_questions)
        lines = read_lines(self.run.path / "validation.jsonl")
        self._lines = [line for line in lines if line["stage"] == stage.name]

    def begin(self, step: int) -> None:
        """The engines are given a step's weights: ask, if it is time."""
        known = {line["step"] for line in self._lines}
        if not self._questions or not due(self.stage, step) or step in known:
            return
        if self.stage.keep_best:
            self.export(self._folder("candidate"), step)
        self._step = step
        self._answering = self.fleet.background.call(asyncio.create_task, self._answer())

    def finish(self) -> dict[str, float]:
        """Wait for what was asked, and keep it; its accuracies by their keys in metrics.jsonl."""
        if self._answering is None:
            return {}
        started = time.monotonic()
        said = self.fleet.background.run(self.fleet.learner.meanwhile(self._answering))
        self._answering = None
        line = {
            "stage": self.stage.name,
            "step": self._step,
            "answered": len(said),
            **diagnose_each(self.config.prompts.each, self._questions, said),
            "waited": time.monotonic() - started,
        }
        if metric := self.stage.keep_best:
            self._keep_if_best(line, metric)
        self._lines.append(line)
        self.run.validated(line)
        show_validation(line)
        figures = {"validated": line}
        figures |= {f"validated_{one}": line[one] for one in self.config.prompts.each[1:]}
        return {
            f"{name}_{kind}": mean
            for name, results in figures.items()
            for kind in ("overall", "observational", "inferential")
            if (mean := results[kind]["mean"]) is not None
        }

    @property
    def over(self) -> bool:
        """Whether the stage has gone without a new best for as long as its patience lasts."""
        metric, patience = self.stage.keep_best, self.stage.patience
        if metric is None or patience is None or not self._lines:
            return False
        values = [line[metric]["mean"] for line in self._lines]
        return len(values) - 1 - values.index(max(values)) >= patience

    def close(self) -> None:
        """Nobody waits for the answers any more."""
        if self._answering is not None:
            self.fleet.background.call(self._answering.cancel)

    async def _answer(self) -> dict[Question, str]:
        """A completion by question, sampled as training samples, with the same seeds each time."""
        name, questions = f"validate {self.stage.name}", self._questions
        said: dict[Question, str] = {}
        asking = Asking(
            loader=self.fleet.loader,
            rollouts=self.fleet.rollouts,
            samples=1,
            together=answered_together(self.config, shape_of(self.config.model.path)),
            temperatures=[self.config.sampling.temperature],
            order=(self._step + 1, 1),  # behind the groups of the next step, before those after it
        )
        self.ledger.asked(len(questions))
        async for reply in asking.replies(questions, range(len(questions))):
            if isinstance(reply.outcome, Failure):
                self.ledger.add(name, self._step, reply.question, reply.outcome)
            else:
                said[reply.question] = reply.outcome.completions[0].text
        return said

    def _keep_if_best(self, line: dict[str, Any], metric: str) -> None:
        """The model that was exported for this, where it is better than all before it."""
        candidate, best = self._folder("candidate"), self._folder("best")
        earlier = [known[metric]["mean"] for known in self._lines]
        if earlier and line[metric]["mean"] <= max(earlier):
            shutil.rmtree(candidate)
            return
        shutil.rmtree(best, ignore_errors=True)
        candidate.rename(best)

    def _folder(self, name: str) -> Path:
        return self.run.stage(self.stage.name) / name


def due(stage: StageConfig, step: int) -> bool:
    """Whether a stage is validated after a step; after its last it is evaluated whole."""
    return 0 < step < stage.steps and step % stage.validate_every == 0
