"""Scored groups of each step, begun as early as the staleness bound allows.

    main thread                          event loop (`workers/background.py`)

    published(step) ----- begins ----->  _make(step + 1 ... step + 1 + max_staleness)
                                             | waits for prompts     (made one step further ahead)
    take(step) --------- waits for --->      | waits for a free engine, its groups as they finish
        ^      or for a lost learner         |           each at once to
        |                                    | rewards; a free scorer, the anchor's opinion
        +-------- unblocks ------------- Batch: a step's groups in the order they were asked

    with sampling.refill  what a group earns is known before the anchor is asked, and those that
                       teach nothing are followed by another round (`drawing.py`)
    an engine is free  once its unit is sampled and it holds the weights published meanwhile
    with learner.overlap  `take` gives the learner the first groups while it waits for the others
    nobody waits       for a worker that is lost: another does the same work
    a step waits       for its last group; that unblocks the learner, and the learner's new
                       weights, through `published`, the groups of a later step

What is trained in which step follows from the seed alone: workers that come, go or die change who
samples a group and when, nothing else.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

import numpy as np

from cluster.loop.asking import groups_of
from cluster.loop.drawing import Batch, Draws, Fate, Said, Sampled
from cluster.loop.ledger import Ledger
from cluster.loop.step import Laps
from cluster.workers.ahead import Ahead
from cluster.workers.fleet import Fleet
from cluster.workers.work import Prepared, Unit, units
from videothinker.config.kl import KLConfig
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.errors import InputError, InputLost
from videothinker.method.paying import Rewards
from videothinker.method.scoring import score_groups, teaches, unscored
from videothinker.process.metrics import GROUPS_LEFT_OUT
from videothinker.types import (
    AnchorScores,
    Completion,
    Failure,
    Question,
    RolloutGroup,
    ScoredGroup,
)

Replay = Mapping[str, tuple[Completion, ...]]
"""Completions by question."""
Payment = dict[str, np.ndarray] | Failure
"""What a group's completions earn of each reward, or why nobody knows."""


@dataclass(eq=False, kw_only=True)
class Making:
    """A step whose groups are under way; what is known of a question is by its place."""

    step: int
    seeds: np.random.Generator
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Its first questions are known, which without `sampling.refill` are all."""
    came: list[asyncio.Event] = field(default_factory=list)
    """Of each question, whether its group is there, or it is known that none will be."""
    asked: list[Question] = field(default_factory=list)
    failed: dict[int, Failure] = field(default_factory=dict)
    paying: dict[int, asyncio.Task[Payment]] = field(default_factory=dict)
    scoring: dict[int, asyncio.Task[Fate]] = field(default_factory=dict)

    async def in_order(self) -> AsyncIterator[Sampled]:
        """Its groups in the order they were asked, each once all before it are known."""
        await self.begun.wait()
        for place, came in enumerate(self.came):
            await came.wait()
            fate = await asyncio.shield(self.scoring[place]) if place in self.scoring else None
            if isinstance(fate, Sampled):
                yield fate


@dataclass(eq=False, kw_only=True)
class Supply:
    """One stage's groups, step by step; what was begun and not taken is dropped at the end."""

    fleet: Fleet
    config: RunConfig
    stage: StageConfig
    drawing: Draws
    ledger: Ledger
    rewards: Rewards
    version: Callable[[int], int]
    """Of the weights after a step of this stage."""
    replay: Replay | None = None
    """What its groups replay; a question without is left out."""
    _makings: dict[int, Making] = field(init=False, default_factory=dict)
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

    def take(self, step: int, coefficient: float) -> Batch:
        """Wait for a step's groups, or for the news that the learner is lost. With
        `learner.overlap` it learns from the first ones meanwhile."""
        return self.fleet.background.run(self._take(step, coefficient))

    def scored(
        self, samples: Sequence[Sampled], coefficient: float
    ) -> list[tuple[ScoredGroup, Prepared]]:
        """The advantages of each completion against its group."""
        scored = self._score_groups([one.said for one in samples], coefficient)
        return list(zip(scored, [one.prepared for one in samples], strict=True))

    def close(self) -> None:
        """Drop what is under way; its workers finish it, and nobody takes it."""
        gc.unfreeze()
        self.fleet.background.run(self._cancel())

    def _score_groups(self, said: Sequence[Said], coefficient: float) -> list[ScoredGroup]:
        return score_groups(said, self.stage.kl, coefficient, self.config.advantage)

    async def _begin(self, step: int) -> None:
        for later in range(step + 1, min(step + self._ahead, self.stage.steps) + 1):
            self._batch_of(later)

    async def _take(self, step: int, coefficient: float) -> Batch:
        making, learner = self._batch_of(step), self.fleet.learner
        ahead = asyncio.create_task(self._learn_ahead(self._makings[step], coefficient))
        try:
            batch = await learner.meanwhile(making)
            known = await learner.meanwhile(ahead)
        finally:
            ahead.cancel()
        del self._batches[step], self._makings[step]
        return replace(batch, ahead=known)

    async def _learn_ahead(self, making: Making, coefficient: float) -> Ahead | None:
        if not self.config.learner.overlap:
            return None
        ahead = Ahead(step=making.step, asked=self.stage.prompts_per_step)
        async for sampled in making.in_order():
            # on a thread of its own: the first call imports torch
            said = [sampled.said]
            [scored] = await asyncio.to_thread(self._score_groups, said, coefficient)
            ahead.scored.append((scored, sampled.prepared))
            await self.fleet.learner.gather(ahead, coefficient)
        return ahead if ahead.scored else None

    async def _cancel(self) -> None:
        for task in self._batches.values():
            task.cancel()
        await asyncio.gather(*self._batches.values(), return_exceptions=True)
        await self.drawing.close()

    def _batch_of(self, step: int) -> asyncio.Task[Batch]:
        if step not in self._batches:
            making = self._makings[step] = Making(step=step, seeds=self._seeds(step))
            self._batches[step] = asyncio.create_task(self._make(making))
        return self._batches[step]

    async def _make(self, making: Making) -> Batch:
        """A step's groups, in rounds: after the first, as many as the last has left out."""
        step, more = making.step, self.stage.prompts_per_step
        first, laps = await self.drawing.start(step), Laps()
        try:
            while more:
                more = await self._round(making, first + len(making.asked), more, laps)
            self.drawing.end(step, first + len(making.asked))
            scored = {place: await task for place, task in making.scoring.items()}
            laps.end("score")
        finally:
            for task in (*making.paying.values(), *making.scoring.values()):
                task.cancel()
        known = making.failed | scored
        fates = [(question, known[place]) for place, question in enumerate(making.asked)]
        figures = self.drawing.stream.figures(first, making.asked)
        return Batch(first=first, fates=fates, seconds=laps.seconds, figures=figures)

    async def _round(self, making: Making, position: int, count: int, laps: Laps) -> int:
        """Ask so many questions: prompts, then samples, each at once on to what it earns and to the
        anchor; returns how many are to be drawn in place of groups that teach nothing.
        """
        prompts = await self.drawing.prompts(making.step, position, count)
        asked, start = [self._replayable(item) for item in prompts], len(making.asked)
        making.asked += [item.question for item in asked]
        self.ledger.prepared(self.stage.name, making.step, asked)
        broken = {start + place: item.failure for place, item in enumerate(asked)}
        making.failed |= {place: failure for place, failure in broken.items() if failure}
        making.came += [asyncio.Event() for _ in asked]
        for place in making.failed:
            making.came[place].set()
        making.begun.set()
        laps.end("prepare")
        sampling = [
            asyncio.create_task(self._sample(unit, making))
            for unit in self._units(making, asked, start)
        ]
        try:
            await asyncio.gather(*sampling)
        finally:
            for task in sampling:
                task.cancel()
        again = 0
        if self.drawing.refill:
            paid = [await task for place, task in making.paying.items() if place >= start]
            again = sum(idle(earned, self.stage.kl) for earned in paid)
        laps.end("generate")
        return self.drawing.more(len(making.asked), again)

    def _replayable(self, item: Prepared) -> Prepared:
        if self.replay is None or item.failure or item.question.id in self.replay:
            return item
        reason = "the stage's initial model has no completion of it to replay"
        return replace(item, failure=Failure(kind="no_replay", reason=reason))

    def _seeds(self, step: int) -> np.random.Generator:
        """One for each question that a step asks, in that order."""
        return np.random.default_rng([self.config.seed, self.config.stages.index(self.stage), step])

    def _units(self, making: Making, asked: Sequence[Prepared], start: int) -> list[Unit]:
        """The same however many workers there are; places count on from `start`."""
        begun = units(
            asked,
            making.seeds.integers(2**31, size=len(asked)).tolist(),
            samples=self.config.sampling.group_size - self.stage.replay,
            temperature=self.config.sampling.temperature,
            together=together(self.config, len(asked)),
            order=(making.step,),
        )
        return [replace(u, places=tuple(start + place for place in u.places)) for u in begun]

    async def _sample(self, unit: Unit, making: Making) -> None:
        """Every group of a unit on to what it earns and to the anchor, or its question into the
        ledger.
        """
        loader, rollouts, step = self.fleet.loader, self.fleet.rollouts, making.step
        oldest = self.version(step - self._ahead)
        async for place, item, outcome in groups_of(unit, loader, rollouts, oldest):
            if isinstance(outcome, Failure):
                self.ledger.add(self.stage.name, step, item.question, outcome)
                making.failed[place] = outcome
            else:
                group = joined(outcome, self.replay) if self.replay else outcome
                paying = asyncio.create_task(self._pay(group, step))
                making.paying[place] = paying
                scoring = self._score(group, item, step, paying)
                making.scoring[place] = asyncio.create_task(scoring)
            making.came[place].set()

    async def _pay(self, group: RolloutGroup, step: int) -> Payment:
        """What a group earns; a reward that fails costs the group."""
        texts = [completion.text for completion in group.completions]
        try:
            return await self.rewards.soon(group.question, texts)
        except InputError as error:
            failure = Failure(kind="reward", reason=str(error))
            self.ledger.add(self.stage.name, step, group.question, failure)
            return failure

    async def _score(
        self, group: RolloutGroup, prepared: Prepared, step: int, paying: asyncio.Task[Payment]
    ) -> Fate:
        """The anchor's opinion beside what a group earns; where it may be left out, after that."""
        if self.drawing.refill and idle(earned := await paying, self.stage.kl):
            GROUPS_LEFT_OUT.inc()
            return unscored(group, earned, self.stage.kl)
        opinion = asyncio.create_task(self._opinion(group, prepared, step))
        try:
            earned = await paying
            if isinstance(earned, Failure):
                return earned
            prepared, anchor = await opinion
        finally:
            opinion.cancel()
        return Sampled(group=group, prepared=prepared, earned=earned, anchor=anchor)

    async def _opinion(
        self, group: RolloutGroup, prepared: Prepared, step: int
    ) -> tuple[Prepared, AnchorScores | None]:
        """The anchor's, if there is one, and the prompt it was given, which may be a new one."""
        kl = self.stage.kl
        while kl.asks:
            try:
                asked = group, prepared, kl.every_token, (step,), kl.anchor_view
                return prepared, await self.fleet.anchor.score(*asked)
            except InputLost:
                [prepared] = await self.fleet.loader.prepare_all([prepared.question], (step,))
        return prepared, None


def joined(group: RolloutGroup, replay: Replay) -> RolloutGroup:
    """The group with the replayed completions of its question after its own."""
    more = replay.get(group.question.id, ())
    return replace(group, completions=group.completions + more, replayed=len(more))


def idle(earned: Payment, kl: KLConfig) -> TypeGuard[dict[str, np.ndarray]]:
    """Whether a group has been paid, and teaches nothing."""
    return not isinstance(earned, Failure) and not teaches(earned, kl)


def together(config: RunConfig, asked: int) -> int:
    """Prompts of a unit: as configured, else those asked, dealt out to the workers at its start."""
    return config.rollout.prompts_together or -(-asked // config.rollout.workers)
