"""The learner's ranks as one. They live and die together: each holds a part of the same policy.

They serve one stage: DeepSpeed keeps what it made for as long as its process lives.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from cluster.workers.ahead import Ahead
from cluster.workers.background import Background
from cluster.workers.delivery import DirectSending, Stored, Weights
from cluster.workers.pool import Notice, Occupancy
from cluster.workers.process import Process
from cluster.workers.shares import cost, dealt
from cluster.workers.strikes import Strikes
from cluster.workers.work import Prepared
from learner.losses import Assignment
from videothinker.config.kl import AnchorView
from videothinker.config.settings import FaultsConfig, WeightsPath
from videothinker.errors import InputLost, Lost, VideoThinkerError
from videothinker.model.card import ModelLineage
from videothinker.types import (
    INITIAL_VERSION,
    AnchorScores,
    LearnerReport,
    RolloutGroup,
    ScoredGroup,
)

T = TypeVar("T")
GRACE_SECONDS = 10.0
"""How long to wait, after one rank failed, for the news that another one was lost."""


class Learner:
    """Calls go to all ranks at once. When one is lost all are ended, and the caller gets Lost."""

    def __init__(
        self,
        background: Background,
        start: Callable[[str], Awaitable[Process]],
        count: int,
        faults: FaultsConfig,
        notice: Callable[[Notice], None],
        path: WeightsPath = "host",
        receivers: int = 1,
    ) -> None:
        """`path`: how its weights come into engines, each of so many ranks."""
        self.direct = None if path == "host" else DirectSending(path, receivers)
        self._background = background
        self._start = start
        self._count = count
        self._updates = 1
        self._faults = faults
        self._notice = notice
        self._ranks: list[Process] = []
        self._watching: list[asyncio.Task[None]] = []
        self._coming: Future[None] | None = None
        self._version = INITIAL_VERSION
        self._parts: list[int] = []
        self._strikes = Strikes("the learner", faults, "made a step")
        self._ever_started = False
        self._calls = 0
        self._turns = itertools.count()
        self._losing = asyncio.Lock()

    @property
    def workers(self) -> Sequence[Process]:
        """Its ranks, those that are started and not lost."""
        return self._ranks

    @property
    def weights_bytes(self) -> int:
        """Of what `publish` publishes; 0 before a stage has begun."""
        return sum(self._parts)

    def occupancy(self) -> Occupancy:
        """All ranks work, or none does."""
        count = len(self._ranks)
        return Occupancy(wanted=self._count, present=count, busy=count if self._calls else 0)

    def start(self) -> None:
        """Start every rank and let them find each other."""
        self._background.run(self._build())

    def start_stage(self, assignment: Assignment) -> None:
        """Load a stage's initial model into ranks that have held none."""
        self._await_coming()
        if self._parts:
            self._release()
        if not self._ranks:
            self.start()
        self._updates = assignment.learner.updates_per_step
        what, limit = f"loading {assignment.model}", self._faults.save_seconds
        self._parts = self._everywhere(what, limit, "start_stage", assignment)[0]

    async def gather(self, ahead: Ahead, coefficient: float) -> None:
        """Of a step whose last group is still to come, what can be learned without it."""
        for row in ahead.due(self._count):
            shares = [[mine] for mine in row]
            await self._learn("gather", ahead.step, coefficient, ahead.scored, shares)
            ahead.given += 1

    def step(
        self,
        step: int,
        coefficient: float,
        scored: Sequence[tuple[ScoredGroup, Prepared]],
        ahead: Ahead | None = None,
    ) -> LearnerReport:
        """One update on all groups, or one on each part of them, with this coefficient of the
        divergence; `ahead` knows which of them have been learned from."""
        if ahead is None:
            shares = dealt([cost(group.group) for group, _ in scored], self._count, self._updates)
        else:
            shares = [[mine] for mine in ahead.rest(self._count)]

        async def change() -> list[LearnerReport]:
            if self.direct is not None:
                self.direct.close()
            return await self._learn("step", step, coefficient, scored, shares)

        reports = self._background.run(change())
        if (took := self._strikes.served()) is not None:
            self._notice(Notice(role="learner", worker="learner", event="served", seconds=took))
        return reports[0]

    async def _learn(
        self,
        method: str,
        step: int,
        coefficient: float,
        scored: Sequence[tuple[ScoredGroup, Prepared]],
        shares: Sequence[Sequence[Sequence[tuple[int, float]]]],
    ) -> list[Any]:
        """Of each rank its shares of the groups, by index, each with its weight."""

        async def learn(process: Process, rank: int) -> Any:
            what = f"step {step} from weights version {self._version}"
            mine = shares[rank]
            share = [[(scored[index][0], weight) for index, weight in part] for part in mine]
            prompts = [scored[index][1].prompt for part in mine for index, _ in part]
            arguments = (step, coefficient, share, *prompts)
            return await process.call(what, self._faults.learn_seconds, method, *arguments)

        return await self._all(learn)

    async def score(
        self, group: RolloutGroup, prepared: Prepared, with_hidden: bool, view: AnchorView = "video"
    ) -> AnchorScores:
        """What the anchor says of one group, between or after steps: a rank does one thing at a
        time. Who asks while the ranks are lost gets Lost, too."""
        if not self._ranks:
            raise Lost("the learner is not there")
        rank = self._ranks[next(self._turns) % len(self._ranks)]
        limit = self._faults.score_seconds + self._faults.learn_seconds
        self._calls += 1
        try:
            scores: AnchorScores = await rank.call(
                f"scoring {group.question.id} of weights version {group.weights_version}",
                limit,
                "logprobs",
                *(group, prepared.prompt, with_hidden, view),
            )
            return scores
        except Lost as error:
            raise await self._lost(error, rank) from error
        finally:
            self._calls -= 1

    def weights(self, version: int) -> Weights:
        """The current ones, for engines to take."""
        if self.direct is None:
            return Stored(version=version, parts=self.publish(version))
        self._version = version
        what, limit = f"naming weights version {version}", self._faults.sync_seconds
        return self.direct.held(version, self._everywhere(what, limit, "hold", version)[0])

    def publish(self, version: int) -> list[Any]:
        """References to the parts of the current weights in the object store."""
        self._version = version

        async def ask(process: Process, _: int) -> list[Any]:
            what, limit = f"publishing weights version {version}", self._faults.sync_seconds
            published = [
                process.divided(what, limit, "publish", version, number)
                for number in range(len(self._parts))
            ]
            return [part for _held, part in await asyncio.gather(*published)]

        parts: list[Any] = self._background.run(self._all(ask))[0]
        return parts

    def save_model(self, folder: Path, base: Path, lineage: ModelLineage | None = None) -> str:
        """Export the policy; returns its digest."""
        what, limit = f"exporting weights version {self._version}", self._faults.save_seconds
        digests: list[str] = self._everywhere(what, limit, "save_model", folder, base, lineage)
        return digests[0]

    def save_state(self, folder: Path) -> None:
        """Every rank writes its part of what resuming needs."""
        what, limit = f"saving weights version {self._version}", self._faults.save_seconds
        self._everywhere(what, limit, "save_state", folder)

    def load_state(self, folder: Path) -> None:
        """Read what `save_state` wrote."""
        what, limit = f"resuming from {folder.name}", self._faults.save_seconds
        self._everywhere(what, limit, "load_state", folder)

    def end_stage(self, another: bool) -> None:
        """Give back all that a stage took. With another one to come, its ranks start meanwhile."""
        self._release()
        if another:
            self._coming = self._background.start(self._build())

    async def meanwhile(self, work: Awaitable[T]) -> T:
        """The result of other work, or Lost as soon as a rank is: then it may never come."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, *self._watching}, return_when=asyncio.FIRST_COMPLETED)
        for rank, error in [] if task.done() else failures(self._ranks, self._watching):
            raise await self._lost(error, rank) from error
        return await task

    def close(self) -> None:
        """End every rank; nobody is to be replaced."""
        if self._coming is not None:
            self._coming.cancel()
        self._background.run(self._end("it is not wanted any more"))

    def _await_coming(self) -> None:
        """The ranks that were started ahead, each call of which has its limit."""
        if self._coming is None:
            return
        try:
            self._background.wait(self._coming)
        finally:
            self._coming.cancel()  # an interrupt ends their start, too
            self._coming = None

    def _release(self) -> None:
        served = self._ranks
        self._background.run(self._end("it has served its stage"))
        for rank in served:
            self._notice(Notice(role="learner", worker=rank.name, event="released"))

    async def _build(self) -> None:
        await asyncio.sleep(self._strikes.pause())
        started = time.monotonic()
        try:
            await self._join(await self._started())
        except VideoThinkerError as error:
            if not (isinstance(error, Lost) or self._ever_started):
                raise  # it never could, and trying again will not help
            raise await self._lost(error) from error
        self._ever_started = True
        took = time.monotonic() - started
        for rank in self._ranks:
            self._notice(Notice(role="learner", worker=rank.name, event="started", seconds=took))

    async def _started(self) -> list[Process]:
        names = [f"learner-{rank}" for rank in range(self._count)]
        self._ranks = list(await asyncio.gather(*[self._start(name) for name in names]))
        self._watching = [asyncio.create_task(rank.watch(self._faults)) for rank in self._ranks]
        for task in self._watching:
            task.add_done_callback(_seen)
        return self._ranks

    async def _join(self, ranks: list[Process]) -> None:
        limit = self._faults.start_seconds
        host, port = await ranks[0].call("finding a meeting point", limit, "meeting_point")
        if self.direct is not None:
            self.direct.joined(ranks, (host, port))

        async def join(process: Process, rank: int) -> None:
            await process.call("joining the others", limit, "connect", rank, len(ranks), host, port)

        await self._all(join)

    def _everywhere(self, what: str, limit: float, method: str, *arguments: Any) -> list[Any]:
        async def ask(process: Process, _: int) -> Any:
            return await process.call(what, limit, method, *arguments)

        return self._background.run(self._all(ask))

    async def _all(self, ask: Callable[[Process, int], Coroutine[Any, Any, Any]]) -> list[Any]:
        ranks = self._ranks  # others may end them meanwhile
        calls = [asyncio.create_task(ask(rank, i)) for i, rank in enumerate(ranks)]
        for call in calls:
            call.add_done_callback(_seen)
        self._calls += 1
        try:
            await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self._calls -= 1
        errors = failures(ranks, calls)
        if errors and not isinstance(errors[0][1], VideoThinkerError):
            # what one rank says of a broken connection is less than why it broke
            waiting = [*self._watching, *[call for call in calls if not call.done()]]
            await asyncio.wait(waiting, timeout=GRACE_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            errors = [*failures(ranks, calls), *failures(self._ranks, self._watching)]
        for rank, error in errors:
            if isinstance(error, Lost | InputLost):
                raise await self._lost(error, rank) from error
        for _, error in errors:
            raise error
        return [call.result() for call in calls]

    async def _lost(self, error: BaseException, failed: Process | None = None) -> VideoThinkerError:
        """End all ranks, since those that wait for a lost one in a collective would wait for ever.

        Returns what to raise: Lost, or the reason to stop when that happens again and again. Of
        those who notice it at the same time, one ends them.
        """
        async with self._losing:
            if failed is not None and failed not in self._ranks:
                return Lost(str(error))
            return await self._end_all(error, failed)

    async def _end_all(self, error: BaseException, failed: Process | None) -> VideoThinkerError:
        others = [rank for rank in self._ranks if rank is not failed]
        reason = "; ".join(
            [str(error), *[f"{rank.name} meanwhile: {rank.phase}" for rank in others]]
        )
        pause = self._strikes.add(reason)
        for rank in self._ranks:
            self._notice(
                Notice(role="learner", worker=rank.name, event="lost", reason=reason, seconds=pause)
            )
        await self._end(reason)
        return self._strikes.too_many() or Lost(reason)

    async def _end(self, reason: str) -> None:
        if self.direct is not None:
            self.direct.close()
        for rank in self._ranks:
            rank.give_up(reason)
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._ranks, self._watching, self._parts = [], [], []


def failures(
    ranks: Sequence[Process], tasks: Sequence[asyncio.Task[Any]]
) -> list[tuple[Process, BaseException]]:
    """Of tasks that are one for each rank, those that failed."""
    return [
        (rank, error)
        for rank, task in zip(ranks, tasks, strict=True)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None
    ]


def _seen(task: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
