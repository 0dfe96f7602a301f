"""What a stage's initial model answers before the stage begins, for `stages.N.replay`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from cluster.loop.asking import Asking
from cluster.loop.ledger import Ledger
from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.stream import QuestionStream
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import answered_together
from videothinker.progress import ProgressLine
from videothinker.types import Completion, Failure, Question

TOGETHER = 32
"""Questions that an engine samples side by side."""


def sample_replay(
    config: RunConfig, stage: StageConfig, stream: QuestionStream, fleet: Fleet, ledger: Ledger
) -> dict[str, tuple[Completion, ...]]:
    """Ask every question of the stage once; the engines hold its initial model.

    What cannot be answered is in the ledger, and its question is left out of the stage.
    """
    asked = list(questions_of(stage, stream, config.sampling.refill))
    place = [config.seed, config.stages.index(stage), 0]
    seeds = np.random.default_rng(place).integers(2**31, size=len(asked)).tolist()
    room = answered_together(config, shape_of(config.model.path))
    asking = Asking(
        loader=fleet.loader,
        rollouts=fleet.rollouts,
        samples=stage.replay,
        together=config.rollout.prompts_together or min(TOGETHER, room),
        temperatures=[config.sampling.temperature],
    )
    ledger.asked(len(asked))
    replay: dict[str, tuple[Completion, ...]] = {}
    with (
        ProgressLine(f"replay for {stage.name}") as progress,
        closing(fleet.background.iterate(asking.replies(asked, seeds))) as coming,
    ):
        progress(0, len(asked))
        for done, reply in enumerate(coming, start=1):
            if isinstance(reply.outcome, Failure):
                ledger.add(stage.name, 0, reply.question, reply.outcome)
            else:
                replay[reply.question.id] = reply.outcome.completions
            progress(done, len(asked))
    return {one.id: replay[one.id] for one in asked if one.id in replay}


def questions_of(stage: StageConfig, stream: QuestionStream, refill: int) -> Iterator[Question]:
    """Every question that the stage's steps may ask, once, in the order of the first time."""
    seen = set[str]()
    most = stage.steps * (stage.prompts_per_step + refill)
    for question in stream.drawn(0, min(most, len(stream.questions))):  # once round is all of them
        if question.id not in seen:
            seen.add(question.id)
            yield question
