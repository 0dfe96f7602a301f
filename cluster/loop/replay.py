"""What is asked before a stage begins, once: its initial model, for `stages.N.replay`, and an
earlier stage's model, for `stages.N.draw`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from statistics import fmean

import numpy as np

from cluster.loop.asking import Asking
from cluster.loop.ledger import Ledger
from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.stream import Stream
from videothinker.method.rewards import REWARDS
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import answered_together
from videothinker.progress import ProgressLine
from videothinker.types import Completion, Failure, Question

TOGETHER = 32
"""Questions that an engine samples side by side."""
HALF = 0.5
JUDGED = "judged.parquet"
"""In a stage's folder: what the model it asks answers to its questions."""


def sample_replay(
    config: RunConfig, stage: StageConfig, stream: Stream, fleet: Fleet, ledger: Ledger
) -> dict[str, tuple[Completion, ...]]:
    """Of every question that the stage may ask so many completions as its groups replay; the
    engines hold its initial model.
    """
    asked = list(questions_of(stage, stream, config.sampling.refill))
    return _sampled(config, stage, asked, stage.replay, fleet, ledger)


def sample_judged(
    config: RunConfig, stage: StageConfig, asked: Sequence[Question], fleet: Fleet, ledger: Ledger
) -> dict[str, tuple[Completion, ...]]:
    """Of every question of the stage a group, by the model of an earlier stage, which the engines
    hold.
    """
    return _sampled(config, stage, asked, config.sampling.group_size, fleet, ledger)


def wrong(asked: Sequence[Question], judged: Mapping[str, Sequence[Completion]]) -> frozenset[str]:
    """The questions that less than half of their completions answer right; none without any."""
    right = REWARDS["accuracy"]
    return frozenset(
        one.id
        for one in asked
        if one.id in judged
        and fmean(right(completion.text, one) >= 1 for completion in judged[one.id]) < HALF
    )


def _sampled(
    config: RunConfig,
    stage: StageConfig,
    asked: Sequence[Question],
    samples: int,
    fleet: Fleet,
    ledger: Ledger,
) -> dict[str, tuple[Completion, ...]]:
    """What cannot be answered is in the ledger; for replay its question is then left out."""
    place = [config.seed, config.stages.index(stage), 0]
    seeds = np.random.default_rng(place).integers(2**31, size=len(asked)).tolist()
    room = answered_together(config, shape_of(config.model.path))
    asking = Asking(
        loader=fleet.loader,
        rollouts=fleet.rollouts,
        samples=samples,
        together=config.rollout.prompts_together or min(TOGETHER, room),
        temperatures=[config.sampling.temperature],
    )
    ledger.asked(len(asked))
    found: dict[str, tuple[Completion, ...]] = {}
    with (
        ProgressLine(f"asking before {stage.name}") as progress,
        closing(fleet.background.iterate(asking.replies(asked, seeds))) as coming,
    ):
        progress(0, len(asked))
        for done, reply in enumerate(coming, start=1):
            if isinstance(reply.outcome, Failure):
                ledger.add(stage.name, 0, reply.question, reply.outcome)
            else:
                found[reply.question.id] = reply.outcome.completions
            progress(done, len(asked))
    return {one.id: found[one.id] for one in asked if one.id in found}


def questions_of(stage: StageConfig, stream: Stream, refill: int) -> Iterator[Question]:
    """Every question that the stage's steps may ask, once, in the order of the first time."""
    seen = set[str]()
    most = stage.steps * (stage.prompts_per_step + refill)
    if stage.draw.by in ("uniform", "difficulty"):
        most = min(most, len(stream.questions))  # once round is all of them
    for question in stream.drawn(0, most):
        if question.id not in seen:
            seen.add(question.id)
            yield question
