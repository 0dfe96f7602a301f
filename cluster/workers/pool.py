"""Workers of one kind as one: work goes to whoever is free, and survives whoever does it.

    do(work) -> a free worker, smaller orders first -> work(worker) -> its result
                     ^                                      |
                     +------ another, after a pause <------ Lost

No Ray here: a worker is whatever `start` returns. Everything runs on one event loop, with one task
a post that keeps it filled: a worker that is lost is replaced, after a pause that doubles with
every loss that follows without work in between; after `faults.restarts` of them the pool gives up
and says why. Work that has cost `faults.attempts` workers is given up too: by then it is likelier
the cause than the victim.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from cluster.workers.strikes import Strikes
from videothinker.config.settings import FaultsConfig
from videothinker.errors import GivenUp, Lost, VideoThinkerError
from videothinker.types import Usage

T = TypeVar("T")


class Worker(Protocol):
    """What a pool needs of a process."""

    name: str
    usage: Usage | None

    async def watch(self, faults: FaultsConfig) -> None:
        """Raise Lost as soon as it is lost."""

    def give_up(self, reason: str) -> None:
        """End it; every call that waits for it gets Lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that happened to a worker: started, lost, served (for the first time), left, or
    released when its stage was over.
    """

    role: str
    worker: str
    event: str
    reason: str = ""
    seconds: float | None = None
    """started: how long that took. lost: until its replacement is started. served: since the worker
    before it was lost."""


@dataclass(eq=False, slots=True)
class Post:
    """Room for one worker, and whoever has it now."""

    number: int
    strikes: Strikes
    worker: Worker | None = None
    starting: bool = False
    """Whether a worker is on its way here."""
    ready: bool = False
    """Whether the worker has met what is required and may be given work."""
    busy: int = 0
    lost: Lost | None = None
    """How the worker was lost, as told by the work that it did."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """There is a requirement, or the post is not wanted any more."""
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is under way here."""
    in_line: set[int] = field(default_factory=set)
    """With how much work it stands in the pool's line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """The workers of a role at one moment."""

    wanted: int
    present: int
    busy: int
    awaited: bool = True
    """Whether anybody needs what they do now; not where it is done in advance."""


Waiting = asyncio.Future[tuple[Post, Worker]]


class Pool:
    """A number of workers that can change at any time, and the work that waits for them."""

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
        """`first`: number of the first worker, in names. `at_once`: pieces of work that a worker is
        given at the same time; each goes to whoever has the fewest. `interrupting`: a requirement
        is met in their middle instead of between them.
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
        self._waiting: list[tuple[tuple[int, ...], int, Waiting]] = []
        self._line: list[tuple[int, int, int, Post]] = []
        """By how much they do, those who may be given work, and some who no longer may."""
        self._posts: dict[int, Post] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ever_started = False
        self._broken: BaseException | None = None
        self._change = asyncio.Event()
        """Somebody has met what is required, or is gone."""
        self._open = asyncio.Event()
        """Whoever is wanted may be started."""
        self._open.set()

    @property
    def workers(self) -> list[Worker]:
        """Those that are started and not lost."""
        posts = [self._posts[number] for number in sorted(self._posts)]
        return [post.worker for post in posts if post.worker is not None]

    def occupancy(self) -> Occupancy:
        """Who works at this moment; to meet a requirement is work."""
        posts = [post for post in self._posts.values() if post.worker is not None]
        working = sum(post.busy > 0 or not post.ready for post in posts)
        return Occupancy(wanted=self.target, present=len(posts), busy=working)

    def resize(self, count: int) -> None:
        """Change the number of workers; those who leave finish first what they have begun."""
        self.target = count
        for number in range(count):
            if number not in self._tasks:
                post = Post(number, Strikes(self._name(number), self._faults))
                self._posts[number] = post
                self._tasks[number] = asyncio.create_task(self._keep(post))
                self._tasks[number].add_done_callback(self._ended)
        self._tell()

    def require(self, update: Callable[[Any], Awaitable[None]], *, closed: bool = False) -> None:
        """From now on no worker, new or old, is given work before this was done to it. `closed`:
        and none is started before something else is required.
        """
        self._open.clear() if closed else self._open.set()
        self._requirement = (next(self._numbers), update)
        for post in self._posts.values():
            post.ready = False
        self._tell()

    async def settled(self) -> None:
        """Whoever is there, and not about to go, has met what is required; whoever was being
        started as well, where nobody may be any more.
        """
        while any(
            (post.starting and not self._open.is_set())
            or (post.worker is not None and not post.ready and post.lost is None)
            for post in self._posts.values()
            if post.number < self.target
        ):
            self._change.clear()
            await self._change.wait()

    async def do(self, work: Callable[[Any], Awaitable[T]], order: tuple[int, ...] = ()) -> T:
        """The result of `work(worker)` on any worker; smaller orders are begun first."""
        losses: list[str] = []
        while len(losses) < self._faults.attempts:
            post, worker = await self._free(order)
            attempt = asyncio.ensure_future(work(worker))
            # not before: what a worker has begun goes on, also when nobody waits for it any more
            attempt.add_done_callback(partial(self._done, post))
            try:
                return await asyncio.shield(attempt)
            except Lost as lost:
                losses.append(str(lost))
        raise GivenUp("; ".join(losses))

    async def close(self) -> None:
        """End every worker; work that waits is not done any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # work, and who does it

    async def _free(self, order: tuple[int, ...]) -> tuple[Post, Worker]:
        """A worker that may be given one more piece of work, and counts as busy from now."""
        if self._broken is not None:
            raise self._broken
        waiting: Waiting = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, next(self._numbers), waiting))
        self._deal()
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._release(waiting.result()[0])
            raise

    def _deal(self) -> None:
        """Whoever is free gets what waits."""
        while self._waiting and (post := self._least_busy()) is not None:
            *_, waiting = heapq.heappop(self._waiting)
            if not waiting.done():  # nobody waits for a cancelled one
                assert post.worker is not None, "only who is there is ready"
                post.busy += 1
                self._line_up(post)
                post.quiet.clear()
                waiting.set_result((post, post.worker))

    def _least_busy(self) -> Post | None:
        """Of those who may be given work, who has the least; the first of them, if several.

        Without a look at all of them, of whom there may be a thousand: whoever lines up stays in
        line until it is found there no longer to be what it was.
        """
        while self._line:
            busy, number, _, post = self._line[0]
            if post.ready and busy == post.busy and number < self.target:
                return post
            heapq.heappop(self._line)
            post.in_line.discard(busy)
        return None

    def _line_up(self, post: Post) -> None:
        """It may be given more than it has now, if it may be given anything."""
        if post.busy < self._at_once and post.busy not in post.in_line:
            post.in_line.add(post.busy)
            heapq.heappush(self._line, (post.busy, post.number, next(self._numbers), post))

    def _release(self, post: Post) -> None:
        post.busy -= 1
        if not post.busy:
            post.quiet.set()
        self._line_up(post)
        self._deal()

    def _done(self, post: Post, attempt: asyncio.Future[Any]) -> None:
        error = None if attempt.cancelled() else attempt.exception()
        if isinstance(error, Lost):
            post.ready = False
            post.lost = post.lost or error
            self._change.set()
            if post.worker is not None:
                post.worker.give_up(str(error))
        elif (took := post.strikes.served()) is not None:
            self._tell_of(post, "served", seconds=took)
        self._release(post)

    # posts, and who fills them

    async def _keep(self, post: Post) -> None:
        """Keep a post filled for as long as it is wanted."""
        try:
            while post.number < self.target:
                try:
                    await self._employ(post)
                except Lost as lost:
                    pause = post.strikes.add(str(lost))
                    self._tell_of(post, "lost", reason=str(lost), seconds=pause)
                    if (error := post.strikes.too_many()) is not None:
                        raise error from lost
                    await asyncio.sleep(pause)
        finally:
            del self._posts[post.number], self._tasks[post.number]

    async def _employ(self, post: Post) -> None:
        """Start a worker and let it work until it may leave; Lost when it is lost before that."""
        started = time.monotonic()
        worker = await self._begin(post)
        post.worker, post.lost, post.busy = worker, None, 0
        post.quiet.set()
        self._tell_of(post, "started", seconds=time.monotonic() - started)
        working = asyncio.create_task(self._offer(post, worker))
        watching = asyncio.create_task(worker.watch(self._faults))
        try:
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            post.worker, post.ready = None, False
            self._change.set()
            ended = [task for task in (working, watching) if task.done()]
            worker.give_up("it is not wanted any more")
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)
            await post.quiet.wait()
        if post.lost is not None:  # a call that was lost says more than the watch
            raise post.lost
        for task in ended:
            task.result()
        self._tell_of(post, "left")

    async def _begin(self, post: Post) -> Worker:
        await self._open.wait()
        post.starting = True
        try:
            worker = await self._start(self._name(post.number))
        except Lost:
            raise
        except VideoThinkerError as error:
            if not self._ever_started:  # it never could, and trying again will not help
                raise
            raise Lost(str(error)) from error
        finally:
            post.starting = False
            self._change.set()
        self._ever_started = True
        return worker

    async def _offer(self, post: Post, worker: Worker) -> None:
        """Let a worker be given work, whenever it has met what is required, until it may leave."""
        met = 0
        while post.number < self.target:
            post.news.clear()
            if self._requirement is not None and met != self._requirement[0]:
                if post.busy and not self._interrupting:
                    await post.quiet.wait()
                    continue
                number, update = self._requirement
                await update(worker)
                met = number
                continue
            post.ready = True
            self._line_up(post)
            self._change.set()
            self._deal()
            await post.news.wait()
        await post.quiet.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A post that ends with an error is one that nobody can fill."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._broken = error
        self.target = 0
        for *_, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(error)
        self._waiting.clear()
        self._tell()

    # who is told

    def _tell(self) -> None:
        self._change.set()
        for post in self._posts.values():
            post.news.set()

    def _tell_of(
        self, post: Post, event: str, reason: str = "", seconds: float | None = None
    ) -> None:
        worker = self._name(post.number)
        self._notice(
            Notice(role=self.role, worker=worker, event=event, reason=reason, seconds=seconds)
        )

    def _name(self, number: int) -> str:
        return f"{self.role}-{self._first + number}"
