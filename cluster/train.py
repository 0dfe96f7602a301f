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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluster.fleet import Prepared, fetch
from cluster.launch import launch
from cluster.left_out import LeftOut
from cluster.lineage import Lineage
from cluster.session import Session
from cluster.step import StepClock
from videothinker.config import RunConfig, StageConfig
from videothinker.config_file import to_yaml
from videothinker.data.store import read_questions
from videothinker.data.stream import QuestionStream, select
from videothinker.errors import VideoThinkerError
from videothinker.guard import Steering
from videothinker.progress import ProgressLine
from videothinker.report import write_report
from videothinker.run import RunDirectory
from videothinker.scoring import score_group
from videothinker.types import RolloutGroup, ScoredGroup

EMPTY_STEPS_ALLOWED = 10


def run(config: RunConfig, resume: Path | None = None) -> dict[str, Any]:
    """Train every stage that is not finished yet; returns the run's summary."""
    if resume is None:
        directory = RunDirectory.create(config.out, to_yaml(config))
    else:
        directory = RunDirectory.open(resume)
    lineage = Lineage(directory, config)
    directory.status(state="starting", name=config.name, error=None)
    try:
        with launch(config, directory) as fleet:
            session = Session(
                config=config,
                fleet=fleet,
                run=directory,
                lineage=lineage,
                left_out=LeftOut(directory, config.data.max_skipped_share),
            )
            for stage in config.stages:
                if not lineage.finished(stage.name):
                    train_stage(session, stage)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        directory.status(state="interrupted" if interrupted else "failed", error=str(error))
        raise
    summary = lineage.finish()
    directory.status(state="finished")
    write_report(directory.path)
    return summary


def train_stage(session: Session, stage: StageConfig) -> None:
    """Train one stage from the run's initial model, evaluate it, export it."""
    done = session.begin(stage)
    steering = session.steering(stage)
    seed = session.config.seed
    stream = QuestionStream(select(read_questions(stage.questions), stage.limit, seed), seed)
    started, empty = time.monotonic(), 0
    with ProgressLine(stage.name) as progress:
        for step in range(done + 1, stage.steps + 1):
            metrics = train_step(session, stage, step, stream, steering)
            empty = 0 if metrics else empty + 1
            if empty >= EMPTY_STEPS_ALLOWED:
                raise VideoThinkerError(
                    f"stage {stage.name}: {empty} steps in a row had no sample to train on; "
                    f"{session.run.path / 'skipped.jsonl'} says why each was left out"
                )
            session.keep_state(stage, step, steering)
            progress(step - done, stage.steps - done, f"reward {metrics.get('reward', 0):.2f}")
    session.finish(stage, time.monotonic() - started)


def train_step(
    session: Session, stage: StageConfig, step: int, stream: QuestionStream, steering: Steering
) -> dict[str, Any]:
    """One step; returns its metrics, or nothing when no group was left to train on."""
    clock = StepClock()
    with clock.phase("prepare"):
        asked = session.fleet.loader.prepare(stream.batch(step, stage.prompts_per_step))
        prepared = session.left_out.sort(stage.name, step, asked)
        if step < stage.steps:
            session.fleet.loader.prefetch(stream.batch(step + 1, stage.prompts_per_step))
    with clock.phase("generate"):
        groups, anchored = generate(session, stage, step, prepared)
    with clock.phase("score"):
        scored = score(session, stage, groups, anchored)
    if not scored:
        return {}
    with clock.phase("learn"):
        report = session.fleet.learner.step(step, steering.coefficient, scored)
    with clock.phase("sync"):
        session.sync(stage, step)
    return session.record(stage, report, [group for group, _ in scored], clock, steering)


def generate(
    session: Session, stage: StageConfig, step: int, prepared: list[Prepared]
) -> tuple[list[tuple[RolloutGroup, Prepared]], list[Any]]:
    """Groups as they come; the anchor scores each while the next is still being sampled."""
    place = [session.config.seed, session.config.stages.index(stage), step]
    seeds = np.random.default_rng(place).integers(2**31, size=len(prepared)).tolist()
    groups, anchored = [], []
    sampling = session.config.sampling
    finished = session.fleet.rollouts.generate(
        prepared, seeds, sampling.group_size, sampling.temperature
    )
    for group, item in finished:
        groups.append((group, item))
        if stage.kl.direction != "none":
            asked = replace(group, with_hidden=stage.kl.estimator == "exact")
            anchored.append(session.fleet.anchor.submit(asked, item))
    return groups, anchored


def score(
    session: Session,
    stage: StageConfig,
    groups: list[tuple[RolloutGroup, Prepared]],
    anchored: list[Any],
) -> list[tuple[ScoredGroup, Prepared]]:
    """Rewards, advantages, the anchor's log-probs; in an order that does not depend on timing."""
    scores = fetch(anchored, "anchor scorer, log-probs") or [None] * len(groups)
    scored = [
        (score_group(group, session.config.rewards, anchor, stage.kl), item)
        for (group, item), anchor in zip(groups, scores, strict=True)
    ]
    return sorted(scored, key=lambda pair: pair[0].group.sort_key())
