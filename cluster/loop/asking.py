"""Questions asked, groups that come back: of one unit, or of any number of questions.

Only so many prompts exist at a time as the engines and the loaders need to stay busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from cluster.workers.fleet import Loader, Rollouts
from cluster.workers.work import Order, Prepared, Unit, chunks, units
from videothinker.errors import GivenUp, InputLost
from videothinker.types import Failure, Question, RolloutGroup


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What became of a question at one temperature."""

    question: Question
    temperature: float
    outcome: RolloutGroup | Failure


async def groups_of(
    unit: Unit, loader: Loader, rollouts: Rollouts, oldest: int = 0
) -> AsyncGenerator[tuple[int, Prepared, RolloutGroup | Failure], None]:
    """Each prompt's group with its place, as soon as it is finished, or why there is none.

    Prompts that went down with a machine are made again. A group of weights older than `oldest` is
    told as a failure too, and asked for once more.
    """
    left = dict(zip(unit.places, unit.prepared, strict=True))
    while left:
        try:
            async for index, group in rollouts.sample(unit):
                place = unit.places[index]
                if group.weights_version < oldest:
                    reason = f"weights version {group.weights_version}, allowed from {oldest}"
                    failure = Failure(kind="too_old", reason=f"{reason}: reissued")
                    yield place, left[place], failure
                elif place in left:
                    yield place, left.pop(place), group
        except GivenUp as error:
            for place, item in left.items():
                yield place, item, Failure(kind="processes_lost", reason=str(error))
            return
        except InputLost:
            questions = [item.question for item in unit.prepared]
            again = await loader.prepare_all(questions, unit.order)
            for place, item in zip(unit.places, again, strict=True):
                if item.failure is not None and left.pop(place, None) is not None:
                    yield place, item, item.failure
            unit = _replaced(unit, again)
            left = {p: i for p, i in zip(unit.places, unit.prepared, strict=True) if p in left}


def _replaced(unit: Unit, again: Sequence[Prepared]) -> Unit:
    """The same unit with other prompts, and without those that have none."""
    kept = [index for index, item in enumerate(again) if item.failure is None]
    return replace(
        unit,
        prepared=tuple(again[index] for index in kept),
        places=tuple(unit.places[index] for index in kept),
        seeds=tuple(unit.seeds[index] for index in kept),
    )


@dataclass(eq=False, kw_only=True)
class Room:
    """Units whose prompts may exist at a time: so many, and not more bytes, or else only one.

    What is being made counts as the largest so far, the first of all is made alone, and so little
    is made at a time that one which is larger still does not matter.
    """

    units: int
    made_at_once: int
    most_bytes: float
    _making: int = field(init=False, default=0)
    _made: list[int] = field(init=False, default_factory=list)
    """Bytes of each unit that exists."""
    _largest: int = field(init=False, default=0)
    _change: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    async def enter(self) -> None:
        """Wait until one more may be made. For one who waits at a time."""
        while not self._free():
            self._change.clear()
            await self._change.wait()
        self._making += 1

    def made(self, size: int) -> None:
        """Whoever entered has its prompts."""
        self._making -= 1
        self._made.append(size)
        self._largest = max(self._largest, size)
        self._change.set()

    def leave(self, size: int) -> None:
        """Its prompts are gone."""
        self._made.remove(size)
        self._change.set()

    def _free(self) -> bool:
        there = self._making + len(self._made)
        if not there:
            return True
        if there >= self.units or self._making >= (self.made_at_once if self._largest else 1):
            return False
        return sum(self._made) + (self._making + 1) * self._largest <= self.most_bytes


class Replies:
    """What tasks tell; the error of one ends all."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[Reply | BaseException | None] = asyncio.Queue()
        self._tasks = set[asyncio.Task[None]]()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """One more task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def reply(self, reply: Reply) -> None:
        """To whoever waits for it."""
        self._news.put_nowait(reply)

    async def until(self, ended: int) -> AsyncGenerator[Reply, None]:
        """Every reply, until so many tasks have ended."""
        try:
            while ended:
                news = await self._news.get()
                if isinstance(news, BaseException):
                    raise news
                if news is None:
                    ended -= 1
                else:
                    yield news
        finally:
            for task in self._tasks:
                task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._news.put_nowait(task.exception())


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """Questions beyond a step's, each asked once at each temperature."""

    loader: Loader
    rollouts: Rollouts
    samples: int
    together: int
    """Questions that one engine answers side by side."""
    temperatures: Sequence[float]
    order: Order = (0,)
    """Before what else."""
    one_by_one: bool = False
    """Whether the next question enters an engine as soon as one is answered, instead of so many
    when so many are. Its pool has to give it as many units at once."""
    most_bytes: float = inf
    """Of prompts; without a limit where so many of the largest have room."""

    async def replies(
        self, questions: Sequence[Question], seeds: Sequence[int]
    ) -> AsyncGenerator[Reply, None]:
        """What became of each, as they are answered.

        As many as one engine answers are under way beside those of all engines: they are prepared
        while these are sampled.
        """
        size = 1 if self.one_by_one else self.together
        asked, found = chunks(list(zip(questions, seeds, strict=True)), size), Replies()
        room = Room(
            units=(self.rollouts.pool.target + 1) * self.together // size,
            made_at_once=2 * len(self.loader.pools),  # the next waits while one is made
            most_bytes=self.most_bytes,
        )

        async def begin() -> None:
            for some in asked:
                await room.enter()
                found.begin(self._ask_in(room, some, found))

        found.begin(begin())
        async with aclosing(found.until(1 + len(asked))) as coming:
            async for reply in coming:
                yield reply

    async def _ask_in(
        self, room: Room, some: Sequence[tuple[Question, int]], found: Replies
    ) -> None:
        """A unit that has entered, from its prompts to its replies."""
        prepared = await self.loader.prepare_all([one for one, _ in some], self.order)
        took = sum(item.size for item in prepared)
        room.made(took)
        async with aclosing(self._ask(prepared, [seed for _, seed in some])) as coming:
            async for reply in coming:
                found.reply(reply)
        room.leave(took)

    async def _ask(
        self, prepared: Sequence[Prepared], seeds: Sequence[int]
    ) -> AsyncGenerator[Reply, None]:
        for temperature in self.temperatures:
            for item in prepared:
                if item.failure is not None:
                    yield Reply(
                        question=item.question, temperature=temperature, outcome=item.failure
                    )
            asking = units(
                prepared,
                seeds,
                samples=self.samples,
                temperature=temperature,
                together=self.together,
                order=self.order,
            )
            for unit in asking:
                async for _, item, outcome in groups_of(unit, self.loader, self.rollouts):
                    yield Reply(question=item.question, temperature=temperature, outcome=outcome)
