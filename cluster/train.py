"""Training, read from here: a run is stages, a stage is steps, a step is five verbs.

    prepare   questions -> prompts    decoded and preprocessed once, kept in the object store
    generate  prompts -> groups       G completions each, by engines that hold these very weights
    score     groups -> advantages    rewards; the anchor's log-probs, while others still generate
    learn     groups -> new policy    away from the anchor, where the stage says so
    sync      new policy -> engines   confirmed by every worker before the next step

Nothing here touches a pixel or a weight: prompts and weights are references, groups are small.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from cluster.fleet import Fleet, Prepared, fetch, publish
from cluster.launch import launch
from cluster.lineage import Lineage
from cluster.state import newest_state, save_state
from cluster.step import StepClock, step_metrics
from learner.actor import Assignment
from videothinker.budget import budget_of
from videothinker.config import RunConfig, StageConfig
from videothinker.config_file import to_yaml
from videothinker.data.store import read_questions
from videothinker.data.stream import QuestionStream
from videothinker.errors import VideoThinkerError
from videothinker.evaluation import diagnose
from videothinker.progress import ProgressLine
from videothinker.report import write_report
from videothinker.run import RunDirectory
from videothinker.scoring import score_group
from videothinker.types import LearnerReport, Question, RolloutGroup, ScoredGroup

EMPTY_STEPS_ALLOWED = 10


def run(config: RunConfig, resume: Path | None = None) -> dict[str, Any]:
    """Train every stage that is not finished yet; returns the run's summary."""
    if resume is None:
        directory = RunDirectory.create(config.out, to_yaml(config))
    else:
        directory = RunDirectory.open(resume)
    lineage = Lineage(directory, config)
    directory.status(state="starting", name=config.name)
    try:
        with launch(config, directory) as fleet:
            training = Training(config, fleet, directory, lineage)
            for stage in config.stages:
                training.stage(stage)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        directory.status(state="interrupted" if interrupted else "failed", error=str(error))
        raise
    summary = lineage.finish()
    directory.status(state="finished")
    write_report(directory.path)
    return summary


class Training:
    """What the stages of one run share: the fleet, the run directory, the weights version."""

    def __init__(
        self, config: RunConfig, fleet: Fleet, directory: RunDirectory, lineage: Lineage
    ) -> None:
        self._config = config
        self._fleet = fleet
        self._run = directory
        self._lineage = lineage
        self._version = 0

    def stage(self, stage: StageConfig) -> None:
        """Train one stage from the run's initial model, evaluate it, export it."""
        if self._lineage.finished(stage.name):
            return
        self._begin(stage)
        done = self._restore(stage)
        self._sync()  # a broken weight path fails here, not after the first step
        if not self._lineage.evaluated("base"):
            evaluation = self._evaluate("base")
            self._lineage.add_model("base", self._config.model.path, evaluation)

        stream = QuestionStream(read_questions(stage.questions), self._config.seed)
        started, empty = time.monotonic(), 0
        with ProgressLine(stage.name) as progress:
            for step in range(done + 1, stage.steps + 1):
                trained = self._step(stage, step, stream)
                empty = 0 if trained else empty + 1
                if empty >= EMPTY_STEPS_ALLOWED:
                    raise VideoThinkerError(
                        f"stage {stage.name}: {empty} steps in a row had no sample to train on; "
                        f"{self._run.path / 'skipped.jsonl'} says why each was left out"
                    )
                progress(step - done, stage.steps - done, f"reward {trained.get('reward', 0):.2f}")
                if step % self._config.learner.save_every == 0 and step < stage.steps:
                    save_state(self._fleet.learner, self._run.stage(stage.name), step)
        self._finish(stage, time.monotonic() - started)

    def _step(self, stage: StageConfig, step: int, stream: QuestionStream) -> dict[str, Any]:
        """One step; returns its metrics, or nothing when no group was left to train on."""
        clock = StepClock()
        with clock.phase("prepare"):
            prepared = self._prepare(stage, step, stream.batch(step, stage.prompts_per_step))
            self._fleet.loader.prefetch(stream.batch(step + 1, stage.prompts_per_step))
        with clock.phase("generate"):
            groups, anchored = self._generate(stage, step, prepared)
        with clock.phase("score"):
            scored = self._score(groups, anchored)
        if not scored:
            return {}
        with clock.phase("learn"):
            report = self._fleet.learner.step(step, scored)
        with clock.phase("sync"):
            self._sync()
        return self._record(stage, report, [group for group, _ in scored], clock)

    def _prepare(self, stage: StageConfig, step: int, questions: list[Question]) -> list[Prepared]:
        usable = []
        for item in self._fleet.loader.prepare(questions):
            if item.failure is None:
                usable.append(item)
            else:
                self._run.skip(stage.name, step, item.question.id, item.failure)
        return usable

    def _generate(
        self, stage: StageConfig, step: int, prepared: list[Prepared]
    ) -> tuple[list[tuple[RolloutGroup, Prepared]], list[Any]]:
        """Groups as they come; the anchor scores each while the next is still being sampled."""
        place = [self._config.seed, [s.name for s in self._config.stages].index(stage.name), step]
        seeds = np.random.default_rng(place).integers(2**31, size=len(prepared)).tolist()
        groups, anchored = [], []
        for group, item in self._fleet.rollouts.generate(prepared, seeds):
            groups.append((group, item))
            if stage.kl.direction != "none":
                anchored.append(self._fleet.anchor.submit(group, item))
        return groups, anchored

    def _score(
        self, groups: list[tuple[RolloutGroup, Prepared]], anchored: list[Any]
    ) -> list[tuple[ScoredGroup, Prepared]]:
        logprobs = fetch(anchored, "anchor scorer, log-probs") or [None] * len(groups)
        scored = [
            (score_group(group, self._config.rewards, anchor), item)
            for (group, item), anchor in zip(groups, logprobs, strict=True)
        ]
        # groups arrive in the order they finish; the update must not depend on it
        return sorted(scored, key=lambda pair: pair[0].group.question.id)

    def _sync(self) -> None:
        self._version += 1
        publish(self._fleet, self._version)

    def _record(
        self,
        stage: StageConfig,
        report: LearnerReport,
        groups: list[ScoredGroup],
        clock: StepClock,
    ) -> dict[str, Any]:
        line = step_metrics(stage, report, groups, clock.seconds())
        self._run.rollouts(stage.name, report.step, groups)
        self._run.record(line)
        self._run.status(
            state="training",
            stage=stage.name,
            step=report.step,
            steps=stage.steps,
            weights_version=self._version,
            rollout_workers=self._config.rollout.workers,
        )
        return line

    def _begin(self, stage: StageConfig) -> None:
        config = self._config
        assignment = Assignment(
            model=config.model.path,
            dtype=config.model.dtype,
            learner=config.learner,
            kl=stage.kl,
            temperature=config.sampling.temperature,
            steps=stage.steps,
            budget=budget_of(config),
            logprob_tolerance=config.cluster.logprob_tolerance,
        )
        self._run.status(state="loading", stage=stage.name, step=0, steps=stage.steps)
        self._fleet.learner.start_stage(assignment)
        if stage.kl.direction != "none":
            self._fleet.anchor.load(self._lineage.anchor(stage))

    def _restore(self, stage: StageConfig) -> int:
        """Go on from the stage's newest complete state; returns the steps already done."""
        done, folder = newest_state(self._run.stage(stage.name))
        if folder is not None:
            self._fleet.learner.load_state(folder)
        self._run.forget_after(stage.name, done)
        return done

    def _finish(self, stage: StageConfig, seconds: float) -> None:
        model = self._run.stage(stage.name) / "model"
        self._fleet.learner.save_model(model, self._config.model.path)
        evaluation = self._evaluate(stage.name)
        self._lineage.add_stage(stage, seconds)
        self._lineage.add_model(stage.name, model, evaluation)
        write_report(self._run.path)

    def _evaluate(self, name: str) -> dict[str, Any] | None:
        """Greedy answers of the current weights to the validation questions."""
        data = self._config.data
        if data.validation is None:
            return None
        questions = read_questions(data.validation)[: data.validation_questions]
        self._run.status(state="evaluating", model=name)
        answers: dict[str, str] = {}
        with ProgressLine(f"evaluate {name}") as progress:
            prepared = [
                item for item in self._fleet.loader.prepare(questions) if item.failure is None
            ]
            for group, item in self._fleet.rollouts.answer(prepared):
                answers[item.question.id] = group.completions[0].text
                progress(len(answers), len(prepared))
        return diagnose(questions, [answers.get(question.id, "") for question in questions])
