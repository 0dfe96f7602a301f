"""Training, read from here: a run is stages, a stage is steps, a step is four verbs.

    take      questions -> groups     prompts made once, G completions each by engines that hold the
                                      newest weights, what these earn, the anchor's opinion
                                      (`loop/supply.py`)
    score     groups -> advantages    each completion against its own group
    learn     groups -> new policy    away from the anchor, where the stage says so
    sync      new policy -> engines   no engine samples again before it has confirmed them

Nothing here touches a pixel or a weight: prompts and weights are references, groups are small.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Any

from cluster.loop.drawing import Batch
from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.probing import label_run
from cluster.loop.session import Session
from cluster.loop.states import States
from cluster.loop.step import StepClock
from cluster.loop.supply import Supply
from cluster.loop.validation import Validation
from cluster.start.launch import launch
from cluster.workers.strikes import Strikes
from cluster.workers.work import Prepared
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.errors import Lost, RayLost, Stopped, VideoThinkerError
from videothinker.files import read_lines
from videothinker.method.guard import StageGuard
from videothinker.method.paying import Rewards
from videothinker.progress import ProgressLine
from videothinker.report.page import write_report
from videothinker.run.copies import Copying
from videothinker.run.directory import RunDirectory
from videothinker.tracking.beside import tracked
from videothinker.types import LearnerReport, ScoredGroup

logger = logging.getLogger(__name__)

EMPTY_STEPS_ALLOWED = 10


def run(config: RunConfig, directory: RunDirectory) -> dict[str, Any]:
    """Train every stage that is not finished yet; returns the run's summary."""
    copying = Copying(directory.path, config.copy_to)
    directory.status(state="starting", name=config.name, error=None)
    if Lineage(directory, config).note_rewards():
        logger.warning(
            "a reward's file has changed since this run went last, so that its steps are not all"
            " paid alike; %s names each version by its content",
            directory.path / "summary.json",
        )
    try:
        summary = outliving_ray(config, directory, copying)
    except Stopped:
        directory.status(state="stopped")
        raise
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        directory.status(state="interrupted" if interrupted else "failed", error=str(error))
        raise
    directory.status(state="finished")
    with directory.spared("report.html"):
        write_report(directory.path)
    copying.finish()
    return summary


def outliving_ray(config: RunConfig, directory: RunDirectory, copying: Copying) -> dict[str, Any]:
    """Train as often as a Ray of our own is lost, each time from the last state, as the same
    command would; unless it is lost again and again before a new step."""
    strikes, furthest = Strikes("this run's own Ray", config.faults, "let it make a step"), 0
    while True:
        try:
            return train_stages(config, directory, copying)
        except RayLost as lost:
            made = len(read_lines(directory.path / "metrics.jsonl"))
            if made > furthest:
                strikes.served()
            furthest = max(made, furthest)
            pause = strikes.add(str(lost))
            if (error := strikes.too_many()) is not None:
                raise error from lost
            directory.status(state="starting", error=str(lost))
            logger.warning("a new Ray is started, and the run goes on from its last state")
            time.sleep(pause)
            directory.status(error=None)


def train_stages(config: RunConfig, directory: RunDirectory, copying: Copying) -> dict[str, Any]:
    """Every stage that is not finished, by processes that are started here."""
    lineage = Lineage(directory, config)
    with (
        launch(config, directory) as fleet,
        tracked(config.report_to, directory.path),
        closing(Rewards(config.rewards)) as rewards,
    ):
        session = Session(
            config=config,
            fleet=fleet,
            run=directory,
            lineage=lineage,
            ledger=Ledger(directory, config.data.max_skipped_share),
            rewards=rewards,
            states=States(directory, copying),
        )
        label_run(config, fleet, directory, session.ledger)
        for stage in config.stages:
            if not lineage.finished(stage.name):
                train_stage(session, stage)
        return lineage.finish(fleet.spilled_bytes())


def train_stage(session: Session, stage: StageConfig) -> None:
    """Train one stage from the run's initial model, evaluate it, export it.

    Whoever else is lost is replaced where it is missed; without the learner there is no policy, so
    the stage goes back to its last state.
    """
    started = time.monotonic()
    with ProgressLine(stage.name) as progress:
        while True:
            try:
                done = train_steps(session, stage, progress)
                session.finish(stage, done, time.monotonic() - started)
                return
            except Lost as lost:
                logger.warning("stage %s goes back to its last state: %s", stage.name, lost)


def train_steps(session: Session, stage: StageConfig, progress: ProgressLine) -> int:
    """The steps of a stage that are not done yet; returns how many it then has."""
    done = session.begin(stage)
    steering, empty = session.steering(stage), 0
    with (
        closing(session.supply(stage, done)) as supply,
        closing(session.validation(stage)) as validation,
    ):
        supply.published(done)
        validation.begin(done)
        progress(0, stage.steps - done)
        for step in range(done + 1, stage.steps + 1):
            if validation.over:
                return step - 1
            session.heed_stop(stage, step - 1, steering)
            metrics = train_step(session, stage, step, supply, validation, steering)
            empty = 0 if metrics else empty + 1
            if empty >= EMPTY_STEPS_ALLOWED:
                raise VideoThinkerError(
                    f"stage {stage.name}: {empty} steps in a row had no sample to train on; "
                    f"{session.run.path / 'skipped.jsonl'} says why each was left out"
                )
            session.keep_state(stage, step, steering)
            progress(step - done, stage.steps - done, f"reward {metrics.get('reward', 0):.2f}")
    return stage.steps


def train_step(
    session: Session,
    stage: StageConfig,
    step: int,
    supply: Supply,
    validation: Validation,
    steering: StageGuard,
) -> dict[str, Any]:
    """One step; returns its metrics, or nothing when no group came of its questions."""
    clock = StepClock()
    coefficient = steering.coefficient(step)
    with clock.phase("wait"):
        batch = supply.take(step, coefficient)
    session.keep_draws(stage, step, batch)
    scored = score(supply, batch, coefficient)
    report = LearnerReport(step=step, stats={}, seconds=0.0)
    validated, sleep = dict[str, float](), session.config.rollout.sleep
    if sleep:
        with clock.phase("validate"):
            validated = validation.finish()
    if scored:
        with clock.phase("learn"):
            report = session.fleet.learn(step, coefficient, scored, batch.ahead)
    groups = [*(group for group, _ in scored), *batch.left_out]
    scored.clear()
    batch.let_go()
    if not sleep:
        with clock.phase("validate"):
            validated = validation.finish()
    with clock.phase("sync"):
        session.sync(stage, step)
        session.move_anchor(stage, step)
    supply.published(step)
    validation.begin(step)
    if not groups:
        return {}
    clock.add(batch.seconds)
    return session.record(stage, report, groups, batch, clock, steering, validated)


def score(supply: Supply, batch: Batch, coefficient: float) -> list[tuple[ScoredGroup, Prepared]]:
    """The advantages of each completion against its group, known by now with `learner.overlap`."""
    return batch.ahead.scored if batch.ahead else supply.scored(batch.samples, coefficient)
