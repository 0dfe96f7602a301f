"""What surrounds the steps: loading and resuming a stage, weights versions, results, exports."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.loop.asking import Asking
from cluster.loop.drawing import Batch, Draws, stage_stream, tell_draw
from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.replay import JUDGED, sample_judged, sample_replay
from cluster.loop.states import (
    States,
    forget_anchors,
    state_folder,
    write_anchor,
)
from cluster.loop.step import (
    StepClock,
    UsualStep,
    accuracy_by_wording,
    performance,
    step_metrics,
)
from cluster.loop.supply import Supply
from cluster.loop.validation import Validation
from cluster.workers.fleet import Fleet
from learner.losses import Assignment
from videothinker.config.rewards import paid_for_answers
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.asked import stage_questions, validation_questions
from videothinker.data.stream import Stream
from videothinker.errors import DivergenceError, Stopped
from videothinker.evaluation.scores import diagnose_each
from videothinker.files import each_line, plain
from videothinker.method.guard import StageGuard, stop_message
from videothinker.method.paying import Rewards
from videothinker.model.checkpoint import budget_of
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import answered_together
from videothinker.process.metrics import GUARD_LOWERED, REWARD_LOST
from videothinker.progress import ProgressLine
from videothinker.report.page import write_report
from videothinker.run.answers import Answer, Drawing, answer_of, beside, write_answers
from videothinker.run.directory import RunDirectory
from videothinker.run.draws import next_position, note_draws
from videothinker.run.replay import read_replay, write_replay
from videothinker.run.wishes import read_wish
from videothinker.types import (
    INITIAL_VERSION,
    Failure,
    LearnerReport,
    Question,
    ScoredGroup,
    Wording,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """A run under way: its configuration, its actors, its directory, its results so far."""

    config: RunConfig
    fleet: Fleet
    run: RunDirectory
    lineage: Lineage
    ledger: Ledger
    rewards: Rewards
    states: States
    pace: UsualStep = field(default_factory=UsualStep)

    def begin(self, stage: StageConfig) -> int:
        """Bring a stage to where it stopped, or to its start; returns the steps already done."""
        config = self.config
        self.pace.rest()
        assignment = Assignment(
            model=config.model.path,
            dtype=config.model.dtype,
            learner=config.learner,
            kl=stage.kl,
            temperature=config.sampling.temperature,
            steps=stage.steps,
            budget=budget_of(config),
            logprob_tolerance=config.cluster.logprob_tolerance,
            anchor=self.lineage.anchor(stage) if stage.kl.every_token else None,
            lends=config.rollout.sleep,
            seed=config.seed,
            asked=[] if config.cluster.scorers else self.lineage.asked(stage, 0),
        )
        done, state = self.states.newest(stage.name)
        self.run.status(state="loading", stage=stage.name, step=done, steps=stage.steps)
        self.run.forget_after(stage.name, done)
        self.fleet.learner.start_stage(assignment)
        if state is not None:
            self.fleet.learner.load_state(state)
        if config.cluster.scorers:
            self.fleet.anchor.load(*self.lineage.asked(stage, done))
        self.sync(stage, done)  # a broken weight path fails here, not after the first step
        if done == 0 and not self.lineage.finished("base"):
            self.lineage.add_model("base", config.model.path, self.evaluate("base"))
        if done == 0 and not self.judged_file(stage).is_file():
            self._judge("base", [stage])
        if stage.replay and done == 0 and not self.replay_file(stage).is_file():
            replay = sample_replay(config, stage, self.stream(stage), self.fleet, self.ledger)
            write_replay(self.replay_file(stage), replay)
        return done

    def move_anchor(self, stage: StageConfig, step: int) -> None:
        """After a step: what an anchor that is the policy of some steps ago is from now on."""
        if stage.kl.moves and step < stage.steps and stage.kl.anchored_after(step) == step:
            folder, base = self.run.stage(stage.name), self.config.model.path
            write_anchor(self.fleet, folder, stage.kl, step, base)
            self.fleet.anchor.load(*self.lineage.asked(stage, step))

    def replay_file(self, stage: StageConfig) -> Path:
        """Where the completions lie that a stage replays."""
        return self.run.stage(stage.name) / "replay.parquet"

    def judged_file(self, stage: StageConfig) -> Path:
        """Where the completions lie that say which of a stage's questions another one's model gets
        wrong."""
        return self.run.stage(stage.name) / JUDGED

    def _judge(self, of: str, stages: Sequence[StageConfig]) -> None:
        """Ask the model that the engines hold what stages want to know of it."""
        for stage in stages:
            if stage.draw.by == "errors" and stage.draw.of == of:
                wording = self.config.prompts.each[0]
                questions = stage_questions(self.config, self.run.path, stage)
                worded = [replace(one, wording=wording) for one in questions]
                judged = sample_judged(self.config, stage, worded, self.fleet, self.ledger)
                write_replay(self.judged_file(stage), judged)

    def version(self, stage: StageConfig, step: int) -> int:
        """Weights version after a step, from the place in the run alone, so resuming keeps it."""
        earlier = self.config.stages[: self.config.stages.index(stage)]
        return INITIAL_VERSION + 1 + sum(other.steps + 1 for other in earlier) + step

    def sync(self, stage: StageConfig, step: int) -> None:
        """The learner's weights into every engine."""
        self.fleet.publish(self.version(stage, step))

    def supply(self, stage: StageConfig, done: int) -> Supply:
        """The groups of a stage that has begun, after the steps already done."""
        refill, size = self.config.sampling.refill, stage.prompts_per_step
        stream, kept = self.stream(stage), self._keeps_draws(stage)
        tell_draw(self.run, self.lineage, stage, stream)
        drawing = Draws(
            loader=self.fleet.loader,
            stream=stream,
            size=size,
            refill=refill,
            steps=stage.steps,
            done=done,
            first=next_position(self.run.stage(stage.name), done) if kept else done * size,
        )
        return Supply(
            fleet=self.fleet,
            config=self.config,
            stage=stage,
            drawing=drawing,
            ledger=self.ledger,
            rewards=self.rewards,
            version=lambda step: self.version(stage, step),
            replay=read_replay(self.replay_file(stage)) if stage.replay else None,
        )

    def validation(self, stage: StageConfig) -> Validation:
        """Of a stage that has begun."""
        return Validation(
            config=self.config,
            stage=stage,
            fleet=self.fleet,
            run=self.run,
            ledger=self.ledger,
            export=lambda folder, step: self._export(stage, step, folder),
        )

    def _export(self, stage: StageConfig, step: int, folder: Path) -> str:
        """The learner's policy after a step as a model, with its lineage; its digest."""
        lineage = self.lineage.of_model(stage, step)
        return self.fleet.learner.save_model(folder, self.config.model.path, lineage)

    def stream(self, stage: StageConfig) -> Stream:
        """The stage's questions in the order of the run's seed."""
        return stage_stream(self.config, self.run, stage)

    def steering(self, stage: StageConfig) -> StageGuard:
        """The guard and the coefficient of the step that comes next in a stage that has begun."""
        return StageGuard.replay(stage, each_line(self.run.path / "metrics.jsonl"))

    def keep_state(self, stage: StageConfig, step: int, steering: StageGuard) -> None:
        """Save what resuming needs, as often as the configuration says.

        Not while reward is lost: the states of a collapse would push out the last good one.
        """
        due = step % self.config.learner.save_every == 0 and step < stage.steps
        if due and steering.good:
            keep = self.config.learner.keep_states
            self.states.save(self.fleet.learner, stage.name, step, keep)

    def heed_stop(self, stage: StageConfig, done: int, steering: StageGuard) -> None:
        """End after this step if somebody asked for it, with a state to go on from.

        While reward is lost that state pushes out none of the good ones.
        """
        wish = read_wish(self.run.path)
        if not wish.get("stop"):
            return
        keep = self.config.learner.keep_states + (not steering.good)
        state = state_folder(self.run.stage(stage.name), done)
        if done and not state.is_dir():
            self.states.save(self.fleet.learner, stage.name, done, keep)
        self.states.rest(state)
        self.run.status(control={**(self.run.status().get("control") or {}), "id": wish["id"]})
        where = f"after step {done}" if done else "before the first step"
        raise Stopped(
            f"{self.run.path}: stopped {where} of stage {stage.name}, as asked; its state is saved,"
            " and the same command goes on"
        )

    def keep_draws(self, stage: StageConfig, step: int, batch: Batch) -> None:
        """Where the next step begins to draw."""
        if not self._keeps_draws(stage):
            return
        line = {"step": step, **batch.draws()}
        if stage.draw.by == "difficulty":
            line["right"] = batch.successes(paid_for_answers(self.config.rewards))
        note_draws(self.run.stage(stage.name), line)

    def _keeps_draws(self, stage: StageConfig) -> bool:
        """Whether what is drawn next follows from what was earned."""
        return bool(self.config.sampling.refill) or stage.draw.by == "difficulty"

    def record(
        self,
        stage: StageConfig,
        report: LearnerReport,
        groups: list[ScoredGroup],
        batch: Batch,
        clock: StepClock,
        steering: StageGuard,
        validated: dict[str, float],
    ) -> dict[str, Any]:
        """A step's groups, left out or not, and figures onto the disk; returns the figures.
        `validated` are those of the weights that the step's samples were drawn with, too, where
        they were asked. A step that left all of its groups out has no figures of an update.

        The guard sees the figures as they stand on the disk, where a resumed run finds them.
        """
        version, drawn = self.version(stage, report.step - 1), len(batch.fates)
        seconds = clock.seconds()
        line: dict[str, Any] = plain(
            step_metrics(stage, report, groups, drawn, seconds, version, steering)
            | batch.figures
            | accuracy_by_wording(self.config.prompts.each, groups)
            | performance(self.config, stage, self.fleet, report, groups, seconds["generate"])
            | validated
        )
        if self.config.sampling.refill:
            line |= {"drawn": drawn, "left_out": sum(one.left_out for one in groups)}
        self._heed_gap(stage, report)
        verdict = steering.watch(line)
        REWARD_LOST.set(not steering.good)
        self.pace.step()
        if verdict.action != "healthy":
            line["guard"] = {"action": verdict.action, "cause": verdict.cause}
        self.run.rollouts(stage.name, report.step, groups)
        self.run.record(line)
        self.run.status(
            state="training",
            stage=stage.name,
            step=report.step,
            steps=stage.steps,
            weights_version=self.version(stage, report.step),
            coefficient=steering.coefficient(report.step + 1),
        )
        if verdict.action != "healthy":
            self._act(stage, report.step, verdict.action, verdict.cause)
        return line

    def _heed_gap(self, stage: StageConfig, report: LearnerReport) -> None:
        """Warn of a step in which sampler and learner disagreed; more would have ended the run."""
        gap, tolerance = report.stats.get("logprob_gap", 0.0), self.config.cluster.logprob_tolerance
        if gap > tolerance:
            logger.warning(
                "stage %s, step %d: sampler and learner disagree by %.3g a token, above"
                " cluster.logprob_tolerance (%g); look at logprob_gap in the report",
                *(stage.name, report.step, gap, tolerance),
            )

    def _act(self, stage: StageConfig, step: int, action: str, cause: str) -> None:
        """Do as the guard says: the steering has lowered the coefficient; stopping is an error."""
        self.run.status(guard={"stage": stage.name, "step": step, "action": action, "cause": cause})
        if action == "stop":
            where = f"stages.{self.config.stages.index(stage)}"
            raise DivergenceError(stop_message(where, stage, step, cause))
        GUARD_LOWERED.inc()
        logger.warning("stage %s, step %d: coefficient halved: %s", stage.name, step, cause)

    def finish(self, stage: StageConfig, done: int, seconds: float) -> None:
        """Export a stage's model after its last step, with its results and its lineage; its states
        go.
        """
        self.pace.rest()
        model = self.run.stage(stage.name) / "model"
        written = self._export(stage, done, model)
        if stage.kl.moves:
            forget_anchors(self.fleet, self.run.stage(stage.name), stage.kl)
        self.fleet.keep(self.version(stage, done))
        following = self.config.stages[self.config.stages.index(stage) + 1 :]
        self.fleet.learner.end_stage(another=bool(following))
        self.lineage.add_stage(stage, done, seconds)
        self.lineage.count_videos(self.fleet.loader.counts())
        evaluated = self.evaluate(stage.name)
        self._judge(stage.name, following)
        self.lineage.add_model(stage.name, model, evaluated, written)
        self.states.drop(stage.name)
        with self.run.spared("report.html"):
            write_report(self.run.path)

    def evaluate(self, name: str) -> dict[str, Any] | None:
        """One answer to each validation question, sampled as training samples; they are kept.

        Sampled, because that is what the reward sees: the most likely answer can hide a habit that
        holds nearly half of the probability. Those are given too where the configuration says so.
        """
        data, temperature = self.config.data, self.config.sampling.temperature
        if data.validation is None:
            return None
        questions = validation_questions(self.config, self.run.path, data.validation_questions)
        self.run.status(state="evaluating", model=name)
        names: dict[float, Drawing] = {temperature: "sampled"}
        if data.validation_likeliest:
            names[0.0] = "likeliest"
        answers: dict[Wording, list[Answer]] = {one: [] for one in self.config.prompts.each}
        said: dict[Question, str] = {}
        asking = Asking(
            loader=self.fleet.loader,
            rollouts=self.fleet.rollouts,
            samples=1,
            together=answered_together(self.config, shape_of(self.config.model.path)),
            temperatures=list(names),
        )
        replies = asking.replies(questions, range(len(questions)))
        self.ledger.asked(len(questions))
        total, unanswered = len(questions) * len(names), set[Question]()
        with (
            ProgressLine(f"evaluate {name}") as progress,
            closing(self.fleet.background.iterate(replies)) as coming,
        ):
            progress(0, total)
            for done, reply in enumerate(coming, start=1):
                asked, drawing = reply.question, names[reply.temperature]
                if not isinstance(reply.outcome, Failure):
                    completion = reply.outcome.completions[0]
                    answers[asked.wording].append(answer_of(asked.id, drawing, completion))
                    if drawing == "sampled":
                        said[asked] = completion.text
                elif asked not in unanswered:
                    unanswered.add(asked)
                    self.ledger.add(f"evaluate {name}", 0, reply.question, reply.outcome)
                progress(done, total)
        folder, (first, *others) = self.run.stage(name), self.config.prompts.each
        write_answers(folder, answers[first])
        for wording in others:
            write_answers(folder, answers[wording], beside(wording))
        return diagnose_each(self.config.prompts.each, questions, said)
