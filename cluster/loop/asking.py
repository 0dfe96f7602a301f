"""Questions asked, groups that come back: of one unit, or of any number of questions.

Only so many prompts exist at a time as the engines and the loaders need to stay busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
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

    async def replies(
        self, questions: Sequence[Question], seeds: Sequence[int]
    ) -> AsyncGenerator[Reply, None]:
        """What became of each, as they are answered.

        One unit more than there are engines is under way: it is prepared while they sample.
        """
        replies: asyncio.Queue[Reply | None] = asyncio.Queue()
        room = asyncio.Semaphore(self.rollouts.pool.target + 1)
        asked = chunks(list(zip(questions, seeds, strict=True)), self.together)

        async def ask(some: Sequence[tuple[Question, int]]) -> None:
            async with room, aclosing(self._ask(some)) as coming:
                async for reply in coming:
                    replies.put_nowait(reply)

        def over(done: asyncio.Future[Any]) -> None:
            if not done.cancelled():
                done.exception()  # seen, even where nobody waits for the rest any more
            replies.put_nowait(None)

        tasks = [asyncio.create_task(ask(some)) for some in asked]
        asking = asyncio.gather(*tasks)
        asking.add_done_callback(over)
        try:
            while (reply := await replies.get()) is not None:
                yield reply
            await asking
        finally:
            for task in tasks:  # gather leaves the others at work where one fails
                task.cancel()

    async def _ask(self, some: Sequence[tuple[Question, int]]) -> AsyncGenerator[Reply, None]:
        asked = [question for question, _ in some]
        prepared = await self.loader.prepare_all(asked, self.order)
        for temperature in self.temperatures:
            for item in prepared:
                if item.failure is not None:
                    yield Reply(
                        question=item.question, temperature=temperature, outcome=item.failure
                    )
            asking = units(
                prepared,
                [seed for _, seed in some],
                samples=self.samples,
                temperature=temperature,
                together=self.together,
                order=self.order,
            )
            for unit in asking:
                async for _, item, outcome in groups_of(unit, self.loader, self.rollouts):
                    yield Reply(question=item.question, temperature=temperature, outcome=outcome)
