"""The processes of a run as the training loop speaks to them: no pixel and no weight passes here.

A role is a pool: whoever is lost is replaced, and what it was doing is done again. Only the
learner, whose ranks hold parts of one policy, is something else (`learner.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.workers.ahead import Ahead
from cluster.workers.background import Background
from cluster.workers.delivery import Stored, Weights
from cluster.workers.learner import Learner
from cluster.workers.pool import Occupancy, Pool
from cluster.workers.process import Process
from cluster.workers.work import Order, Prepared, Unit
from videothinker.config.kl import AnchorView
from videothinker.config.settings import FaultsConfig
from videothinker.errors import GivenUp, InputError, Lost, VideoThinkerError
from videothinker.method.prompts import Turns, run_text
from videothinker.process.metrics import WEIGHT_SYNC_SECONDS
from videothinker.types import (
    INITIAL_VERSION,
    AnchorScores,
    Failure,
    LearnerReport,
    Question,
    RolloutGroup,
    ScoredGroup,
)
from videothinker.video.views import View

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Loader:
    """Turns questions into prompts. All questions about a video go to the same process."""

    pools: Sequence[Pool]
    faults: FaultsConfig
    wording: Callable[[Question], str | Turns] = run_text
    view: View = "video"
    _counts: dict[Process, dict[str, int]] = field(init=False, default_factory=dict)
    _awaited: int = field(init=False, default=0)
    _warned: bool = field(init=False, default=False)

    def asking(self, wording: Callable[[Question], str | Turns], view: View) -> Loader:
        """The same processes, asked for other texts or less of the video."""
        return replace(self, wording=wording, view=view)

    async def prepare(self, question: Question, order: Order) -> Prepared:
        """One prompt, or the reason why there is none."""

        async def ask(process: Process) -> Prepared:
            (failure, self._counts[process], size), prompt = await process.divided(
                f"preparing {question.id}",
                self.faults.prepare_seconds,
                "prepare",
                *(question, self.wording(question), self.view),
            )
            self._heed(self._counts[process])
            return Prepared(question=question, prompt=prompt, failure=failure, size=size)

        pool = self.pools[zlib.crc32(question.video.encode()) % len(self.pools)]
        try:
            return await pool.do(ask, order)
        except GivenUp as error:
            failure = Failure(kind="processes_lost", reason=str(error))
            return Prepared(question=question, prompt=None, failure=failure)

    def _heed(self, counts: dict[str, int]) -> None:
        """Nobody reads what a worker says."""
        if "unkept" in counts and not self._warned:
            self._warned = True
            logger.warning(
                "data.cache: decoded clips cannot be kept, as on a disk that is full or broken;"
                " videos are decoded again when they are asked for"
            )

    async def prepare_all(self, questions: Sequence[Question], order: Order) -> list[Prepared]:
        """A prompt for each, in their order."""
        return list(await asyncio.gather(*[self.prepare(one, order) for one in questions]))

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """Somebody can do nothing until the prompts that he asked for are made."""
        self._awaited += 1
        try:
            yield
        finally:
            self._awaited -= 1

    def occupancy(self) -> Occupancy:
        """Who of all its processes works, at this moment."""
        pools = [pool.occupancy() for pool in self.pools]
        return Occupancy(
            wanted=sum(pool.wanted for pool in pools),
            present=sum(pool.present for pool in pools),
            busy=sum(pool.busy for pool in pools),
            awaited=self._awaited > 0,
        )

    def counts(self) -> dict[str, int]:
        """Videos decoded, reused and failed so far, over all processes."""
        total: Counter[str] = Counter()
        for counts in self._counts.values():
            total.update(counts)
        return dict(total)


@dataclass(eq=False)
class Rollouts:
    """The rollout workers as one: whose weights are how new, and who samples what."""

    background: Background
    pool: Pool
    faults: FaultsConfig
    sleeping: bool = False
    """Whether they sleep while the learner works."""
    load_seconds: float | None = field(init=False, default=None)
    """Of the last update of an engine, from the order to its confirmation."""
    _held: dict[str, int] = field(init=False, default_factory=dict)
    _weights: Weights | None = field(init=False, default=None)

    def load(self, weights: Weights) -> None:
        """From now on nobody samples with other weights than these."""

        async def update(process: Process) -> None:
            started = time.monotonic()
            await self._load(process)
            self.load_seconds = time.monotonic() - started
            WEIGHT_SYNC_SECONDS.observe(self.load_seconds)

        def require() -> None:  # in one go: who waits for older ones finds these required
            self._weights = weights
            self.pool.require(update)
            weights.begin()

        self.background.call(require)

    def keep(self, weights: Weights) -> None:
        """The same weights in another place, for whoever comes from now on."""

        def found_there() -> None:
            self._weights = weights

        self.background.call(found_there)

    async def rest(self) -> None:
        """Everybody sleeps, and nobody comes, until weights are required again."""

        async def sleep(process: Process) -> None:
            with sound_or_lost(process, "falling asleep"):
                await process.call("falling asleep", self.faults.sync_seconds, "sleep")

        self.pool.require(sleep, closed=True)
        await self.pool.settled()

    async def _load(self, process: Process) -> None:
        assert self._weights is not None, "nothing was required"
        version = self._weights.version
        what = f"loading weights version {version}"
        with sound_or_lost(process, what):
            held = await self._weights.into(process, self.faults.sync_seconds)
        if held is None:
            return
        if held != version:
            process.give_up(f"it holds weights version {held}")
            raise Lost(f"{process.name}, {what}: it confirmed version {held}")
        self._held[process.name] = version

    async def sample(self, unit: Unit) -> AsyncGenerator[tuple[int, RolloutGroup], None]:
        """Each prompt's group once, as soon as it is finished, with its number in the unit.

        Ends with GivenUp where workers were lost over the rest again and again.
        """
        finished: asyncio.Queue[tuple[int, RolloutGroup] | None] = asyncio.Queue()

        async def work(process: Process) -> None:
            version = self._held.get(process.name, INITIAL_VERSION)
            groups = process.stream(
                f"sampling with weights version {version}",
                self.faults.generate_seconds,
                "generate",
                *(version, unit.samples, unit.temperature, unit.seeds),
                *[item.prompt for item in unit.prepared],
            )
            async for pair in groups:
                finished.put_nowait(pair)

        sampling = asyncio.ensure_future(self.pool.do(work, unit.order))
        sampling.add_done_callback(lambda _: finished.put_nowait(None))
        seen = set[int]()
        try:
            while (pair := await finished.get()) is not None:
                if pair[0] not in seen:  # a worker before may have got so far
                    seen.add(pair[0])
                    yield pair
            await sampling
        finally:
            sampling.cancel()


@contextmanager
def sound_or_lost(process: Process, what: str) -> Iterator[None]:
    """An engine that fails at what changes its weights is in no known state: its process ends."""
    try:
        yield
    except (Lost, InputError):
        raise
    except VideoThinkerError as error:
        process.give_up(str(error))
        raise Lost(f"{process.name}, {what}: {error}") from error


@dataclass(eq=False)
class Anchor:
    """The frozen scorers as one; without workers in a run that needs none, or where the learner
    scores."""

    background: Background
    pool: Pool
    faults: FaultsConfig
    learner: Learner | None = None
    """Who is asked in their place: anchor and policy are adapters of the model that it has."""

    def load(self, *models: Path) -> None:
        """From now on this checkpoint is the anchor, compared with a second one if there is one;
        without one the scorers hold nothing.
        """

        async def update(process: Process) -> None:
            what = f"loading {' and '.join(map(str, models)) or 'nothing'}"
            await process.call(what, self.faults.save_seconds, "load", *models)

        self.background.call(self.pool.require, update)

    async def score(
        self,
        group: RolloutGroup,
        prepared: Prepared,
        with_hidden: bool,
        order: Order,
        view: AnchorView = "video",
    ) -> AnchorScores:
        """What the anchor says of one group, of whose prompt it has a view."""
        if self.learner is not None:
            return await self.learner.score(group, prepared, with_hidden, view)

        async def work(process: Process) -> AnchorScores:
            scores: AnchorScores = await process.call(
                f"scoring {group.question.id} of weights version {group.weights_version}",
                self.faults.score_seconds,
                "logprobs",
                *(group, prepared.prompt, with_hidden, view),
            )
            return scores

        return await self.pool.do(work, order)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """Every role of a run; what the loop has in its hands."""

    background: Background
    loader: Loader
    rollouts: Rollouts
    anchor: Anchor
    learner: Learner
    require_room: Callable[[int, int], None]
    """Raises PlacementError where the cluster has no place for so many rollouts and scorers."""
    spilled_bytes: Callable[[], int | None]
    """What the object store had to write to disk since it was started; None where it is unknown."""

    def publish(self, version: int) -> None:
        """The learner's weights, for every rollout worker to take before it samples again."""
        self.rollouts.load(self.learner.weights(version))

    def learn(
        self,
        step: int,
        coefficient: float,
        scored: Sequence[tuple[ScoredGroup, Prepared]],
        ahead: Ahead | None = None,
    ) -> LearnerReport:
        """One update of the policy, once nobody is still to be given what it was before, and
        engines sleep where they do.
        """
        if self.rollouts.sleeping:
            self.background.run(self.learner.meanwhile(self.rollouts.rest()))
        elif self.learner.direct is not None:
            self._settle()
        return self.learner.step(step, coefficient, scored, ahead)

    def keep(self, version: int) -> None:
        """The learner is about to go: let whoever comes later find its weights without it."""
        if self.learner.direct is not None:
            self._settle()
            self.rollouts.keep(Stored(version=version, parts=self.learner.publish(version)))

    def settle_scorers(self) -> None:
        """Wait until every scorer that is there has taken what it was last told to."""
        self.background.run(self.learner.meanwhile(self.anchor.pool.settled()))

    def _settle(self) -> None:
        """Wait until every engine that is there has its weights, or for a lost learner."""
        self.background.run(self.learner.meanwhile(self.rollouts.pool.settled()))
