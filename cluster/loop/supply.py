"""Scored groups of each step, begun as early as the staleness bound allows.

    questions -> prompts -> units -> groups -> the anchor's scores

A group goes on to the anchor as soon as it is complete; only a step as a whole waits for its last
one. What is trained in which step follows from the seed alone: workers that come, go or die change
who samples a group and when, nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cluster.loop.ledger import LeftOut
from cluster.loop.replay import Replay, join
from cluster.workers.fleet import Fleet
from cluster.workers.work import Prepared, Unit, units
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.stream import QuestionStream
from videothinker.errors import InputLost
from videothinker.types import AnchorScores, Failure, Question, RolloutGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """A group, the prompt it answers, and what the anchor says of it where there is one."""

    group: RolloutGroup
    prepared: Prepared
    anchor: AnchorScores | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """A step's groups in the order they were asked for, and the seconds of each part."""

    samples: list[Sampled]
    seconds: dict[str, float]


class Supply:
    """One stage's groups, step by step; what was begun and not taken is dropped at the end."""

    def __init__(
        self,
        fleet: Fleet,
        config: RunConfig,
        stage: StageConfig,
        stream: QuestionStream,
        left_out: LeftOut,
        version: Callable[[int], int],
        replay: Replay | None = None,
    ) -> None:
        """`version`: of the weights after a step of this stage. `replay`: what its groups replay;
        a question without is left out."""
        self._fleet = fleet
        self._config = config
        self._stage = stage
        self._stream = stream
        self._left_out = left_out
        self._version = version
        self._replay = replay
        self._together = together(config, stage)
        self._ahead = 1 + config.rollout.max_staleness
        self._prompts: dict[int, asyncio.Task[list[Prepared]]] = {}
        self._batches: dict[int, asyncio.Task[Batch]] = {}

        # All that is loaded by now stays, and the collector would go through it again and again as
        # groups come and go: a quarter of the driver's time.
        gc.collect()
        gc.freeze()

    def published(self, step: int) -> None:
        """The engines have the weights after this step: begin all that may use them."""
        self._fleet.background.run(self._begin(step))

    def take(self, step: int) -> Batch:
        """Wait for a step's groups."""
        return self._fleet.background.run(self._finish(step))

    def close(self) -> None:
        """Drop what is under way."""
        gc.unfreeze()
        self._fleet.background.run(self._cancel())

    async def _begin(self, step: int) -> None:
        for later in range(step + 1, min(step + self._ahead, self._stage.steps) + 1):
            if later not in self._batches:
                self._batches[later] = asyncio.create_task(self._produce(later))
        if step + self._ahead < self._stage.steps:  # prompts are made while others are sampled
            self._prompts_of(step + self._ahead + 1)

    async def _finish(self, step: int) -> Batch:
        batch = await self._fleet.learner.meanwhile(self._batches[step])
        del self._batches[step]
        return batch

    async def _cancel(self) -> None:
        tasks = [*self._batches.values(), *self._prompts.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _prompts_of(self, step: int) -> asyncio.Task[list[Prepared]]:
        if step not in self._prompts:
            self._prompts[step] = asyncio.create_task(self._prepare(step))
        return self._prompts[step]

    async def _prepare(self, step: int) -> list[Prepared]:
        questions = self._stream.batch(step, self._stage.prompts_per_step)
        return await self._made(questions, step)

    async def _made(self, questions: Sequence[Question], step: int) -> list[Prepared]:
        prepare = self._fleet.loader.prepare
        return list(await asyncio.gather(*[prepare(question, (step,)) for question in questions]))

    async def _produce(self, step: int) -> Batch:
        laps = Laps()
        with self._fleet.loader.awaited():
            asked = [self._replayable(item) for item in await self._prompts_of(step)]
        del self._prompts[step]
        self._left_out.sort(self._stage.name, step, asked)
        laps.end("prepare")
        scoring = Scoring()
        try:
            sampling = [self._sample(unit, step, scoring) for unit in self._units(step, asked)]
            await asyncio.gather(*sampling)
            laps.end("generate")
            samples = await scoring.in_order()
            laps.end("score")
        finally:
            scoring.cancel()
        return Batch(samples=samples, seconds=laps.seconds)

    def _replayable(self, item: Prepared) -> Prepared:
        if self._replay is None or item.failure or item.question.id in self._replay:
            return item
        reason = "the stage's initial model has no completion of it to replay"
        return replace(item, failure=Failure(kind="no_replay", reason=reason))

    def _units(self, step: int, asked: list[Prepared]) -> list[Unit]:
        """The same however many workers there are."""
        place = [self._config.seed, self._config.stages.index(self._stage), step]
        return units(
            asked,
            np.random.default_rng(place).integers(2**31, size=len(asked)).tolist(),
            samples=self._config.sampling.group_size - self._stage.replay,
            temperature=self._config.sampling.temperature,
            together=self._together,
            order=(step,),
        )

    async def _sample(self, unit: Unit, step: int, scoring: Scoring) -> None:
        """Every group of a unit into scoring, or its question into the ledger."""
        stage, oldest = self._stage.name, self._version(step - self._ahead)
        left = dict(zip(unit.places, unit.prepared, strict=True))

        def deliver(index: int, group: RolloutGroup) -> None:
            place = unit.places[index]
            if group.weights_version < oldest:
                reason = f"weights version {group.weights_version}, allowed from {oldest}: reissued"
                failure = Failure(kind="too_old", reason=reason)
                self._left_out.note(stage, step, group.question, failure)
            elif place in left:
                whole = join(group, self._replay) if self._replay else group
                scoring.begin(place, self._scored(whole, left.pop(place), step))

        while left:
            try:
                reason = await self._fleet.rollouts.sample(unit, deliver)
            except InputLost:
                unit = await self._made_again(unit, step)
                left = {p: i for p, i in zip(unit.places, unit.prepared, strict=True) if p in left}
                continue
            if reason is not None:
                for item in left.values():
                    self._left_out.add(stage, step, item.question, reason)
                return

    async def _made_again(self, unit: Unit, step: int) -> Unit:
        """The unit with prompts that exist, after a machine that held some was lost."""
        made = await self._made([item.question for item in unit.prepared], step)
        usable = self._left_out.sort(self._stage.name, step, made)
        kept = [index for index, item in enumerate(made) if item.failure is None]
        return replace(
            unit,
            prepared=tuple(usable),
            places=tuple(unit.places[index] for index in kept),
            seeds=tuple(unit.seeds[index] for index in kept),
        )

    async def _scored(self, group: RolloutGroup, prepared: Prepared, step: int) -> Sampled:
        kl = self._stage.kl
        while True:
            anchor = None
            try:
                if kl.direction != "none":
                    exact = kl.estimator == "exact"
                    anchor = await self._fleet.anchor.score(group, prepared, exact, (step,))
                return Sampled(group=group, prepared=prepared, anchor=anchor)
            except InputLost:
                [prepared] = await self._made([prepared.question], step)


class Scoring:
    """A step's groups on their way through the anchor."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[Sampled]] = {}
        self._open = True

    def begin(self, place: int, work: Coroutine[Any, Any, Sampled]) -> None:
        """A worker that nobody waits for any more may still deliver."""
        if self._open:
            self._tasks[place] = asyncio.create_task(work)
        else:
            work.close()

    async def in_order(self) -> list[Sampled]:
        """All of them, by their place in the step."""
        return [await self._tasks[place] for place in sorted(self._tasks)]

    def cancel(self) -> None:
        """Those that are not done."""
        self._open = False
        for task in self._tasks.values():
            task.cancel()


class Laps:
    """Seconds between one end and the next."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """The part of this name is over."""
        now = time.monotonic()
        self.seconds[name], self._last = now - self._last, now


def together(config: RunConfig, stage: StageConfig) -> int:
    """Prompts of a unit."""
    return config.rollout.prompts_together or -(-stage.prompts_per_step // config.rollout.workers)
