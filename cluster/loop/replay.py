"""What a stage's initial model answers before the stage begins, for `stages.N.replay`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cluster.workers.work import chunks, units
from videothinker.config.settings import StageConfig
from videothinker.progress import ProgressLine
from videothinker.types import Completion, Question, RolloutGroup

if TYPE_CHECKING:
    from cluster.loop.session import Session

TOGETHER = 32
"""Questions whose prompts exist, and that an engine samples side by side."""
Replay = Mapping[str, tuple[Completion, ...]]
"""Completions by question."""


def sample_replay(session: Session, stage: StageConfig) -> dict[str, tuple[Completion, ...]]:
    """Ask every question of the stage once; the engines hold its initial model.

    What cannot be answered is in the ledger, and its question is left out of the stage.
    """
    asked = list(questions_of(session, stage))
    place = [session.config.seed, session.config.stages.index(stage), 0]
    seeds = np.random.default_rng(place).integers(2**31, size=len(asked)).tolist()
    replay: dict[str, tuple[Completion, ...]] = {}
    with ProgressLine(f"replay for {stage.name}") as progress:
        progress(0, len(asked))
        for some in chunks(list(zip(asked, seeds, strict=True)), TOGETHER):
            prepared = session.fleet.loader.prepare_all([question for question, _ in some])
            session.left_out.sort(stage.name, 0, prepared)
            exam = units(
                prepared,
                [seed for _, seed in some],
                samples=stage.replay,
                temperature=session.config.sampling.temperature,
                together=session.config.rollout.prompts_together or TOGETHER,
            )
            for item, group in session.fleet.rollouts.generate(exam):
                if isinstance(group, str):
                    session.left_out.add(stage.name, 0, item.question, group)
                else:
                    replay[item.question.id] = group.completions
            progress(min(len(asked), len(replay)), len(asked))
    return replay


def questions_of(session: Session, stage: StageConfig) -> Iterator[Question]:
    """Every question that the stage's steps will ask, once, in the order of the first time."""
    stream, seen = session.stream(stage), set[str]()
    for step in range(1, stage.steps + 1):
        for question in stream.batch(step, stage.prompts_per_step):
            if question.id not in seen:
                seen.add(question.id)
                yield question


def join(group: RolloutGroup, replay: Replay) -> RolloutGroup:
    """The group with the replayed completions of its question after its own."""
    more = replay.get(group.question.id, ())
    return replace(group, completions=group.completions + more, replayed=len(more))
