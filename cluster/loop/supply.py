"""Scored groups of each step, begun as early as the staleness bound allows.

    main thread                          event loop (`workers/background.py`)

    published(step) ----- begins ----->  _make(step + 1 ... step + 1 + max_staleness)
                                             | waits for prompts     (made one step further ahead)
    take(step) --------- waits for --->      | waits for a free engine, its groups as they finish
        ^      or for a lost learner         |           each at once to
        |                                    | rewards; a free scorer, the anchor's opinion
        +-------- unblocks ------------- Batch: a step's groups in the order they were asked

    an engine is free  once its unit is sampled and it holds the weights published meanwhile
    nobody waits       for a worker that is lost: another does the same work
    a step waits       for its last group; that unblocks the learner, and the learner's new
                       weights, through `published`, the groups of a later step

What is trained in which step follows from the seed alone: workers that come, go or die change who
samples a group and when, nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cluster.loop.asking import groups_of
from cluster.loop.ledger import Ledger
from cluster.workers.fleet import Fleet
from cluster.workers.work import Prepared, Unit, units
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.stream import QuestionStream
from videothinker.errors import InputError, InputLost
from videothinker.method.paying import Rewards
from videothinker.types import AnchorScores, Completion, Failure, RolloutGroup

Replay = Mapping[str, tuple[Completion, ...]]
"""Completions by question."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """A group, the prompt it answers, what its completions earn, and what the anchor says of them
    where there is one."""

    group: RolloutGroup
    prepared: Prepared
    earned: dict[str, np.ndarray]
    anchor: AnchorScores | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A step's groups in the order they were asked for, and the seconds of each part."""

    samples: list[Sampled]
    seconds: dict[str, float]


@dataclass(eq=False, kw_only=True)
class Supply:
    """One stage's groups, step by step; what was begun and not taken is dropped at the end."""

    fleet: Fleet
    config: RunConfig
    stage: StageConfig
    stream: QuestionStream
    ledger: Ledger
    rewards: Rewards
    version: Callable[[int], int]
    """Of the weights after a step of this stage."""
    replay: Replay | None = None
    """What its groups replay; a question without is left out."""
    _prompts: dict[int, asyncio.Task[list[Prepared]]] = field(init=False, default_factory=dict)
    _batches: dict[int, asyncio.Task[Batch]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._ahead = 1 + self.config.rollout.max_staleness

        # All that is loaded by now stays, and the collector would go through it again and again as
        # groups come and go: a quarter of the driver's time.
        gc.collect()
        gc.freeze()

    def published(self, step: int) -> None:
        """The engines have the weights after this step: begin all that may use them."""
        self.fleet.background.run(self._begin(step))

    def take(self, step: int) -> Batch:
        """Wait for a step's groups, or for the news that the learner is lost."""
        return self.fleet.background.run(self._take(step))

    def close(self) -> None:
        """Drop what is under way; its workers finish it, and nobody takes it."""
        gc.unfreeze()
        self.fleet.background.run(self._cancel())

    async def _begin(self, step: int) -> None:
        for later in range(step + 1, min(step + self._ahead, self.stage.steps) + 1):
            self._batch_of(later)
        if step + self._ahead < self.stage.steps:  # prompts are made while others are sampled
            self._prompts_of(step + self._ahead + 1)

    async def _take(self, step: int) -> Batch:
        batch = await self.fleet.learner.meanwhile(self._batch_of(step))
        del self._batches[step]
        return batch

    async def _cancel(self) -> None:
        tasks = [*self._batches.values(), *self._prompts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _batch_of(self, step: int) -> asyncio.Task[Batch]:
        if step not in self._batches:
            self._batches[step] = asyncio.create_task(self._make(step))
        return self._batches[step]

    def _prompts_of(self, step: int) -> asyncio.Task[list[Prepared]]:
        if step not in self._prompts:
            questions = self.stream.batch(step, self.stage.prompts_per_step)
            making = self.fleet.loader.prepare_all(questions, (step,))
            self._prompts[step] = asyncio.create_task(making)
        return self._prompts[step]

    async def _make(self, step: int) -> Batch:
        """A step's groups: prompts, then samples, each at once on to the anchor."""
        laps = Laps()
        with self.fleet.loader.awaited():
            asked = [self._replayable(item) for item in await self._prompts_of(step)]
        del self._prompts[step]
        self.ledger.prepared(self.stage.name, step, asked)
        laps.end("prepare")
        scoring: dict[int, asyncio.Task[Sampled | None]] = {}
        sampling = [
            asyncio.create_task(self._sample(unit, step, scoring))
            for unit in self._units(step, asked)
        ]
        try:
            await asyncio.gather(*sampling)
            laps.end("generate")
            scored = [await scoring[place] for place in sorted(scoring)]
            samples = [sample for sample in scored if sample is not None]
            laps.end("score")
        finally:
            for task in (*sampling, *scoring.values()):
                task.cancel()
        return Batch(samples=samples, seconds=laps.seconds)

    def _replayable(self, item: Prepared) -> Prepared:
        if self.replay is None or item.failure or item.question.id in self.replay:
            return item
        reason = "the stage's initial model has no completion of it to replay"
        return replace(item, failure=Failure(kind="no_replay", reason=reason))

    def _units(self, step: int, asked: list[Prepared]) -> list[Unit]:
        """The same however many workers there are."""
        place = [self.config.seed, self.config.stages.index(self.stage), step]
        return units(
            asked,
            np.random.default_rng(place).integers(2**31, size=len(asked)).tolist(),
            samples=self.config.sampling.group_size - self.stage.replay,
            temperature=self.config.sampling.temperature,
            together=together(self.config, self.stage),
            order=(step,),
        )

    async def _sample(
        self, unit: Unit, step: int, scoring: dict[int, asyncio.Task[Sampled | None]]
    ) -> None:
        """Every group of a unit on to the anchor, or its question into the ledger."""
        loader, rollouts = self.fleet.loader, self.fleet.rollouts
        oldest = self.version(step - self._ahead)
        async for place, item, outcome in groups_of(unit, loader, rollouts, oldest):
            if isinstance(outcome, Failure):
                self.ledger.add(self.stage.name, step, item.question, outcome)
            else:
                group = joined(outcome, self.replay) if self.replay else outcome
                scoring[place] = asyncio.create_task(self._score(group, item, step))

    async def _score(self, group: RolloutGroup, prepared: Prepared, step: int) -> Sampled | None:
        """What a group earns and what the anchor says of it, side by side; a reward that fails
        costs the group.
        """
        texts = [completion.text for completion in group.completions]
        opinion = asyncio.create_task(self._opinion(group, prepared, step))
        try:
            earned = await self.rewards.soon(group.question, texts)
            prepared, anchor = await opinion
        except InputError as error:
            failure = Failure(kind="reward", reason=str(error))
            self.ledger.add(self.stage.name, step, group.question, failure)
            return None
        finally:
            opinion.cancel()
        return Sampled(group=group, prepared=prepared, earned=earned, anchor=anchor)

    async def _opinion(
        self, group: RolloutGroup, prepared: Prepared, step: int
    ) -> tuple[Prepared, AnchorScores | None]:
        """The anchor's, if there is one, and the prompt it was given, which may be a new one."""
        kl = self.stage.kl
        while kl.direction != "none":
            try:
                exact = kl.estimator == "exact"
                return prepared, await self.fleet.anchor.score(group, prepared, exact, (step,))
            except InputLost:
                [prepared] = await self.fleet.loader.prepare_all([prepared.question], (step,))
        return prepared, None


class Laps:
    """Seconds between one end and the next."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """The part of this name is over."""
        now = time.monotonic()
        self.seconds[name], self._last = now - self._last, now


def joined(group: RolloutGroup, replay: Replay) -> RolloutGroup:
    """The group with the replayed completions of its question after its own."""
    more = replay.get(group.question.id, ())
    return replace(group, completions=group.completions + more, replayed=len(more))


def together(config: RunConfig, stage: StageConfig) -> int:
    """Prompts of a unit: as configured, else a step's, dealt out to the workers at its start."""
    return config.rollout.prompts_together or -(-stage.prompts_per_step // config.rollout.workers)
