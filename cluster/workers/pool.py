"""Workers of one kind as one: a job goes to whoever is free, and survives whoever does it.

No Ray here: a worker is whatever `start` returns. Everything runs on one event loop.

A job is done by one worker at a time and delivered once. A worker that is lost is replaced, after a
pause that doubles with every loss that follows without work in between; after `faults.restarts` of
them the pool gives up and says why. A job that has cost `faults.attempts` workers is given up too:
by then it is likelier the cause than the victim.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from videothinker.config.settings import FaultsConfig
from videothinker.errors import GivenUp, Lost, VideoThinkerError

T = TypeVar("T")
LONGEST_PAUSE = 60.0


class Worker(Protocol):
    """What a pool needs of a process."""

    name: str

    async def watch(self, faults: FaultsConfig) -> None:
        """Raise Lost as soon as it is lost."""

    def give_up(self, reason: str) -> None:
        """End it; every call that waits for it gets Lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that happened to a worker: started, lost, served (for the first time) or left."""

    role: str
    worker: str
    event: str
    reason: str = ""
    seconds: float | None = None
    """started: how long that took. lost: until its replacement is started. served: since the worker
    before it was lost."""


@dataclass(eq=False, slots=True)
class Job:
    """Something that any worker of a pool can do."""

    order: tuple[int, ...]
    work: Callable[[Any], Awaitable[Any]]
    done: asyncio.Future[Any]
    losses: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Place:
    """Room for one worker, and whoever has it now."""

    number: int
    worker: Worker | None = None
    met: int = 0
    """Number of the last requirement that the worker has met."""
    busy: int = 0
    lost_at: float | None = None
    strikes: list[str] = field(default_factory=list)
    """Losses since the last job that was done here."""
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """The workers of a role at one moment."""

    wanted: int
    present: int
    busy: int
    awaited: bool = True
    """Whether anybody needs what they do now; not where it is done in advance."""


class Pool:
    """A number of workers that can change at any time, and the jobs that wait for them."""

    def __init__(
        self,
        role: str,
        start: Callable[[str], Awaitable[Worker]],
        faults: FaultsConfig,
        notice: Callable[[Notice], None],
        *,
        first: int = 0,
        at_once: int = 1,
        interrupting: bool = False,
    ) -> None:
        """`first`: number of the first worker, in names. `at_once`: jobs that a worker is given at
        the same time; each goes to whoever could take most. `interrupting`: it meets a new
        requirement in their middle instead of between them.
        """
        self.role = role
        self.target = 0
        self._start = start
        self._faults = faults
        self._notice = notice
        self._first = first
        self._at_once = at_once
        self._interrupting = interrupting
        self._requirement: tuple[int, Callable[[Any], Awaitable[None]]] | None = None
        self._numbers = itertools.count(1)
        self._jobs: list[tuple[tuple[int, ...], int, Job]] = []
        self._idle: dict[asyncio.Future[Job | None], int] = {}
        self._places: dict[int, Place] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._updates: set[asyncio.Task[None]] = set()
        self._ever_started = False
        self._broken: BaseException | None = None

    @property
    def workers(self) -> list[Worker]:
        """Those that live."""
        places = [self._places[number] for number in sorted(self._places)]
        return [place.worker for place in places if place.worker is not None]

    def occupancy(self) -> Occupancy:
        """Who works at this moment; to take new weights is work."""
        places = [place for place in self._places.values() if place.worker is not None]
        working = sum(place.busy > 0 or place.gate.locked() for place in places)
        return Occupancy(wanted=self.target, present=len(places), busy=working)

    def resize(self, count: int) -> None:
        """Change the number of workers; those who leave finish first what they have begun."""
        self.target = count
        for number in range(count):
            if number not in self._tasks:
                self._places[number] = Place(number)
                task = asyncio.create_task(self._keep(self._places[number]))
                task.add_done_callback(self._ended)
                self._tasks[number] = task
        self._dismiss(lambda number: number >= count)

    def require(self, update: Callable[[Any], Awaitable[None]]) -> None:
        """From now on no worker, new or old, begins a job before this was done to it."""
        self._requirement = (next(self._numbers), update)
        if self._interrupting:
            for place in self._places.values():
                task = asyncio.create_task(self._update_now(place))
                self._updates.add(task)
                task.add_done_callback(self._updates.discard)

    async def do(self, work: Callable[[Any], Awaitable[T]], order: tuple[int, ...] = ()) -> T:
        """The result of `work(worker)` on any worker; smaller orders are begun first."""
        if self._broken is not None:
            raise self._broken
        job = Job(order, work, asyncio.get_running_loop().create_future())
        self._put(job)
        result: T = await job.done
        return result

    async def close(self) -> None:
        """End every worker."""
        tasks = [*self._tasks.values(), *self._updates]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # places, and who fills them

    async def _keep(self, place: Place) -> None:
        """Keep a place filled for as long as it is wanted."""
        try:
            while place.number < self.target:
                try:
                    await self._employ(place)
                except Lost as lost:
                    place.lost_at = place.lost_at or time.monotonic()
                    place.strikes.append(str(lost))
                    pause = pause_after(len(place.strikes), self._faults)
                    self._notice(self._about(place, "lost", reason=str(lost), seconds=pause))
                    if len(place.strikes) > self._faults.restarts:
                        raise self._given_up(place) from lost
                    await asyncio.sleep(pause)
        finally:
            del self._places[place.number], self._tasks[place.number]

    async def _employ(self, place: Place) -> None:
        """Start a worker and let it work until it may leave; Lost when it is lost before that."""
        started = time.monotonic()
        worker = await self._begin(place)
        place.worker, place.met, place.busy = worker, 0, 0
        place.quiet.set()
        took = time.monotonic() - started
        self._notice(self._about(place, "started", seconds=took))
        lanes = [asyncio.create_task(self._lane(place, worker)) for _ in range(self._at_once)]
        working = asyncio.gather(*lanes)
        watching = asyncio.create_task(worker.watch(self._faults))
        both: list[asyncio.Future[Any]] = [watching, working]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            place.worker = None
            watched = [watching] if watching.done() else []
            worker.give_up("it is not wanted any more")
            self._dismiss(lambda number: number == place.number)
            watching.cancel()
            await asyncio.gather(*lanes, watching, working, return_exceptions=True)
        for task in [*lanes, *watched]:  # a call that was lost says more than the watch
            task.result()
        self._notice(self._about(place, "left"))

    async def _begin(self, place: Place) -> Worker:
        try:
            worker = await self._start(self._name(place))
        except Lost:
            raise
        except VideoThinkerError as error:
            if not self._ever_started:  # it never could, and trying again will not help
                raise
            raise Lost(str(error)) from error
        self._ever_started = True
        return worker

    def _dismiss(self, whom: Callable[[int], bool]) -> None:
        for waiting, number in list(self._idle.items()):
            if whom(number) and not waiting.done():
                waiting.set_result(None)

    def _given_up(self, place: Place) -> VideoThinkerError:
        reasons = "; ".join(dict.fromkeys(place.strikes[-3:]))
        return VideoThinkerError(
            f"{self._name(place)} was lost {len(place.strikes)} times in a row without having done"
            f" any work (faults.restarts = {self._faults.restarts}): {reasons}. Mend the cause,"
            " then go on with `videothinker train --resume RUN`"
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A place that ends with an error is one that nobody can fill."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._broken = error
        self.target = 0
        for _, _, job in self._jobs:
            if not job.done.done():
                job.done.set_exception(error)
        self._dismiss(lambda _: True)

    # jobs, and who does them

    def _put(self, job: Job) -> None:
        if self._broken is not None:
            job.done.set_exception(self._broken)
            return
        heapq.heappush(self._jobs, (job.order, next(self._numbers), job))
        while self._idle and self._jobs:
            free = Counter(self._idle.values())
            waiting = max(self._idle, key=lambda lane: free[self._idle[lane]])
            del self._idle[waiting]
            if not waiting.done():
                waiting.set_result(heapq.heappop(self._jobs)[-1])

    async def _next(self, place: Place) -> Job | None:
        """The next job to do here; None when the worker may leave."""
        if place.number >= self.target or place.worker is None:
            return None
        if self._jobs:
            return heapq.heappop(self._jobs)[-1]
        waiting: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._idle[waiting] = place.number
        try:
            return await waiting
        finally:
            self._idle.pop(waiting, None)

    async def _lane(self, place: Place, worker: Worker) -> None:
        while (job := await self._next(place)) is not None:
            try:
                if not job.done.done():  # nobody waits for a cancelled one
                    await self._attempt(place, worker, job)
            finally:
                if not job.done.done():
                    self._put(job)

    async def _attempt(self, place: Place, worker: Worker, job: Job) -> None:
        async with place.gate:
            await self._update(place, worker)
            place.busy += 1
            place.quiet.clear()
        try:
            outcome: Any = await _outcome(job.work(worker))
        finally:
            place.busy -= 1
            if not place.busy:
                place.quiet.set()
        if isinstance(outcome, Lost):
            job.losses.append(str(outcome))
            if len(job.losses) >= self._faults.attempts and not job.done.done():
                job.done.set_exception(GivenUp("; ".join(job.losses)))
            raise outcome
        self._served(place)
        if job.done.done():
            return
        if isinstance(outcome, BaseException):
            job.done.set_exception(outcome)
        else:
            job.done.set_result(outcome)

    def _served(self, place: Place) -> None:
        place.strikes.clear()
        if place.lost_at is not None:
            took = time.monotonic() - place.lost_at
            self._notice(self._about(place, "served", seconds=took))
            place.lost_at = None

    # what every worker must have met

    async def _update(self, place: Place, worker: Worker) -> None:
        while self._requirement is not None and place.met != self._requirement[0]:
            number, update = self._requirement
            if not self._interrupting:
                await place.quiet.wait()
            await update(worker)
            place.met = number

    async def _update_now(self, place: Place) -> None:
        async with place.gate:
            if place.worker is not None:
                outcome = await _outcome(self._update(place, place.worker))
                if isinstance(outcome, BaseException) and place.worker is not None:
                    place.worker.give_up(str(outcome))

    def _name(self, place: Place) -> str:
        return f"{self.role}-{self._first + place.number}"

    def _about(
        self, place: Place, event: str, reason: str = "", seconds: float | None = None
    ) -> Notice:
        return Notice(
            role=self.role, worker=self._name(place), event=event, reason=reason, seconds=seconds
        )


def pause_after(losses: int, faults: FaultsConfig) -> float:
    """Seconds until a replacement is started, after so many losses in a row."""
    pause: float = faults.backoff_seconds * 2 ** (losses - 1)
    return min(pause, LONGEST_PAUSE)


async def _outcome(work: Awaitable[T]) -> T | BaseException:
    """Its result, or the error it ended with."""
    [outcome] = await asyncio.gather(work, return_exceptions=True)
    return outcome
