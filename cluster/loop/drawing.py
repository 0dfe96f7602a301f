"""Which questions a step asks, their prompts, which are made before it needs them, and what became
of each.

A stage's questions are one endless sequence (`QuestionStream`), of which each step takes a run that
begins where the step before ended. Without `sampling.refill` every run is as long as the stage's
prompts_per_step, so all are known at once. With it a step draws on for groups that teach nothing:

    step 1   q q q q   q q         four asked, two of them taught nothing: two more
    step 2               q q q q   begins when it is known where step 1 ended, trained or not

What is drawn follows from what the groups earn, never from who sampled them or when.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cluster.loop.lineage import Lineage
from cluster.loop.replay import JUDGED, wrong
from cluster.workers.ahead import Ahead
from cluster.workers.fleet import Loader
from cluster.workers.work import Prepared
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.asked import drawn_ahead, stage_questions, stage_weights
from videothinker.data.resting import RestingStream
from videothinker.data.stream import QuestionStream, Stream, WeightedStream, shared
from videothinker.run.directory import RunDirectory
from videothinker.run.draws import answered
from videothinker.run.replay import read_replay
from videothinker.status.drawn import drawn_words
from videothinker.types import AnchorScores, Failure, Question, RolloutGroup, ScoredGroup

logger = logging.getLogger(__name__)

NEARLY_ALL = 0.999
"""Of what a right answer earns: rewards have 32 bits."""


def stage_stream(config: RunConfig, run: RunDirectory, stage: StageConfig) -> Stream:
    """A stage's questions in the order of the run's seed."""
    questions, folder = stage_questions(config, run.path, stage), run.stage(stage.name)
    seed, wordings, draw = config.seed, config.prompts.each, stage.draw
    if draw.by == "errors":
        judged = read_replay(folder / JUDGED)
        return shared(questions, wrong(questions, judged), draw.share, seed, wordings)
    if draw.by == "column":
        weights = stage_weights(config, stage, questions)
        return WeightedStream(questions, weights, seed, wordings)
    if draw.by == "difficulty":
        return RestingStream(
            questions,
            seed,
            wordings,
            bounds=(draw.least, draw.most),
            rest=draw.rest,
            window=drawn_ahead(config, stage),
            least_left=stage.prompts_per_step,
            answered=lambda least: answered(folder, least),
        )
    return QuestionStream(questions, seed, wordings)


def tell_draw(run: RunDirectory, lineage: Lineage, stage: StageConfig, stream: Stream) -> None:
    """Say which questions are drawn where that is chosen, and warn once where it cannot be."""
    if stage.draw.by == "uniform":
        return
    about = stage.draw.said | stream.about()
    run.status(draw={"stage": stage.name, **about})
    if lineage.note_draw(stage.name, about) and "instead" in about:
        logger.warning("stage %s: %s", stage.name, drawn_words(about))


@dataclass(eq=False, kw_only=True)
class Draws:
    """A stage's sequence, from the first step that is not done yet."""

    loader: Loader
    stream: Stream
    size: int
    """Questions that a step asks first."""
    refill: int
    """And how many more it may draw."""
    steps: int
    """Of the stage."""
    done: int
    first: int
    """Position at which the step after those done begins."""
    _starts: dict[int, asyncio.Future[int]] = field(init=False, default_factory=dict)
    _prompts: dict[int, asyncio.Task[Prepared]] = field(init=False, default_factory=dict)
    """By position."""
    _made: int = field(init=False)
    """Where the prompts that were begun end."""

    def __post_init__(self) -> None:
        self._made = self.first

    async def start(self, step: int) -> int:
        """Position of a step's first question, once it is known."""
        ahead = step - self.done - 1
        if ahead == 0 or not self.refill:
            return self.first + ahead * self.size
        return await self._start(step)

    def end(self, step: int, position: int) -> None:
        """A step has drawn all that it will; the next one begins at this position."""
        if self.refill:
            self._start(step + 1).set_result(position)

    def more(self, drawn: int, idle: int) -> int:
        """How many a step that has drawn so many draws in place of those that taught nothing."""
        return min(idle, self.size + self.refill - drawn)

    async def prompts(self, step: int, first: int, count: int) -> list[Prepared]:
        """Of so many questions from a position on; those of as many as a step asks first are begun
        meanwhile.
        """
        self._begin(step, first + count)
        if step < self.steps:
            self._begin(step + 1, first + count + self.size)
        with self.loader.awaited():
            return [await self._prompts.pop(one) for one in range(first, first + count)]

    async def close(self) -> None:
        """Nobody waits for the prompts any more."""
        for task in self._prompts.values():
            task.cancel()
        await asyncio.gather(*self._prompts.values(), return_exceptions=True)

    def _start(self, step: int) -> asyncio.Future[int]:
        if step not in self._starts:
            self._starts[step] = asyncio.get_running_loop().create_future()
        return self._starts[step]

    def _begin(self, step: int, end: int) -> None:
        questions = self.stream.drawn(self._made, max(0, end - self._made))
        for position, question in enumerate(questions, start=self._made):
            making = self.loader.prepare(question, (step,))
            self._prompts[position] = asyncio.create_task(making)
        self._made = max(self._made, end)


Said = tuple[RolloutGroup, dict[str, np.ndarray], AnchorScores | None]
"""Of a group all that its advantages follow from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """A group, the prompt it answers, what its completions earn, and what the anchor says of them
    where there is one."""

    group: RolloutGroup
    prepared: Prepared
    earned: dict[str, np.ndarray]
    anchor: AnchorScores | None

    @property
    def said(self) -> Said:
        return self.group, self.earned, self.anchor


Fate = Sampled | ScoredGroup | Failure
"""Of a question: its group, the group as it is left out, or why there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What became of each question of a step, in the order they were asked, and the seconds of each
    part."""

    first: int
    """Position of the first of them in the stage's sequence."""
    fates: list[tuple[Question, Fate]]
    seconds: dict[str, float]
    figures: dict[str, float]
    """What the stream says of the questions."""
    ahead: Ahead | None = None
    """What the learner knows of its groups by now."""

    @property
    def samples(self) -> list[Sampled]:
        """The groups to train on."""
        return [one for _, one in self.fates if isinstance(one, Sampled)]

    @property
    def left_out(self) -> list[ScoredGroup]:
        """Those that teach nothing."""
        return [one for _, one in self.fates if isinstance(one, ScoredGroup)]

    def let_go(self) -> None:
        """Of its prompts, once whoever reads them last has done so: held here they would stay in
        the object store until the step is over."""
        self.fates[:] = [(question, _promptless(fate)) for question, fate in self.fates]

    def draws(self) -> dict[str, Any]:
        """The questions by what became of them, but for the step's number."""
        reasons = [
            {"question_id": question.id, "reason": getattr(one, "reason", "equal")}
            for question, one in self.fates
            if not isinstance(one, Sampled)
        ]
        return {
            "first": self.first,
            "drawn": len(self.fates),
            "trained": [one.group.question.id for one in self.samples],
            "left_out": reasons,
        }

    def successes(self, reward: RewardConfig) -> list[float | None]:
        """Of each question, the share of the policy's own completions that a reward pays in full;
        None where there is no group.
        """
        return [_success(fate, reward) for _, fate in self.fates]


def _promptless(fate: Fate) -> Fate:
    if isinstance(fate, Sampled):
        return replace(fate, prepared=replace(fate.prepared, prompt=None))
    return fate


def _success(fate: Fate, reward: RewardConfig) -> float | None:
    if isinstance(fate, Failure):
        return None
    rewards = fate.earned if isinstance(fate, Sampled) else fate.rewards
    paid = rewards[reward.title][: len(fate.group.own)] / reward.weight
    return float(np.mean(paid > NEARLY_ALL))
