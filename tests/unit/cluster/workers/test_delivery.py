"""Who waits for whom while weights go straight from the learner into engines.

The learner's memory is a number that its step changes; an engine reads it when both ends are there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stand_ins import Engine, Here, Rank

from cluster.workers.background import Background
from cluster.workers.delivery import way
from cluster.workers.fleet import Fleet, Rollouts
from cluster.workers.learner import Learner
from cluster.workers.pool import Notice, Pool
from cluster.workers.process import Process
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import FaultsConfig
from videothinker.errors import InputError, Lost, WeightsError
from videothinker.types import Route

FAULTS = FaultsConfig(
    heartbeat_seconds=0.02, silent_seconds=5, sync_seconds=2, backoff_seconds=0, restarts=3
)
PATIENCE = 5.0


class Assignment:
    model = "/models/base"
    learner = LearnerConfig()


class Memory(Rank):
    """A rank; `weights` is what its steps make, and `out` the other end of a transfer."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(0.0)
        self._scene = scene

    async def hold(self, version: int) -> str:
        return "card A"

    async def step(self, step: int, *_: Any) -> Any:
        self._scene.weights = None  # torn, as long as it lasts
        await asyncio.sleep(self._scene.step_seconds)
        self._scene.weights = step
        return await super().step(step)

    async def publish(self, version: int, number: int) -> int:
        self._scene.published.append(version)
        return await super().publish(version, number)

    async def send(self, version: int, route: Route) -> str:
        scene = self._scene
        if scene.failures:
            scene.failures -= 1
            scene.ranks[-1].give_up("it died")
            await asyncio.sleep(60)
        scene.begun.append(route.number)
        scene.expected.append(route.receivers)
        meeting = scene.meetings.setdefault(route.number, asyncio.Event())
        while not meeting.is_set() and route.link not in scene.stopped:
            await asyncio.sleep(0.001)
        return ""

    async def stop_sending(self, link: int) -> None:
        self._scene.stopped.append(link)


class Reading(Engine):
    """An engine; what it has read of the learner's memory, or been given by the store."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self.read: list[tuple[int, Any]] = []
        self.loaded: list[int] = []

    async def card(self) -> str:
        return "card A"

    async def receive(self, version: int, route: Route) -> int:
        scene = self.scene
        scene.receiving.append(self.name)
        if scene.fault is not None:
            fault, scene.fault = scene.fault, None
            raise fault
        while route.number not in scene.begun:  # for ever, where it was abandoned
            await asyncio.sleep(0.001)
        await asyncio.sleep(scene.receive_seconds)
        self.read.append((version, scene.weights))
        scene.meetings.setdefault(route.number, asyncio.Event()).set()
        return version

    async def load(self, version: int, *_: Any) -> int:
        self.loaded.append(version)
        return version

    async def work(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return self.name


class Scene:
    """A learner of one rank, a pool of engines, and everyone who was ever started."""

    def __init__(self) -> None:
        self.weights: int | None = 0
        self.step_seconds = 0.0
        self.receive_seconds = 0.0
        self.failures = 0
        """How often the learner is yet to die in the middle."""
        self.fault: Exception | None = None
        self.begun: list[int] = []
        self.stopped: list[int] = []
        self.published: list[int] = []
        self.receiving: list[str] = []
        self.expected: list[int] = []
        """Ranks of an engine that a transfer was said to be for."""
        self.meetings: dict[int, asyncio.Event] = {}
        self.engines: list[Reading] = []
        self.ranks: list[Here] = []
        self.notices: list[Notice] = []
        self.background = Background()
        self.learner = Learner(
            self.background, self._rank, 1, FAULTS, self.notices.append, path="ipc", receivers=3
        )
        self.pool = Pool("rollout", self._engine, FAULTS, self.notices.append)
        nothing: Any = None
        self.fleet = Fleet(
            background=self.background,
            loader=nothing,
            rollouts=Rollouts(self.background, self.pool, FAULTS),
            anchor=nothing,
            learner=self.learner,
            require_room=nothing,
            spilled_bytes=nothing,
        )

    async def _rank(self, name: str) -> Process:
        self.ranks.append(Here(name, Memory(self)))
        return self.ranks[-1]

    async def _engine(self, name: str) -> Process:
        self.engines.append(Reading(self, name))
        return Here(name, self.engines[-1])

    def resize(self, count: int) -> None:
        self.background.call(self.pool.resize, count)

    def until(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.005)

    def everybody_read(self, count: int, version: int) -> None:
        self.until(lambda: [e.read[-1][0] for e in self.engines if e.read].count(version) == count)

    def lost(self) -> list[str]:
        return [notice.reason for notice in self.notices if notice.event == "lost"]


@pytest.fixture(autouse=True)
def no_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.workers.shares.split", lambda costs, ranks: [[]] * ranks)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    assignment: Any = Assignment()
    made.learner.start_stage(assignment)
    yield made
    made.background.run(made.pool.close())
    made.learner.close()
    made.background.close()


def learn(scene: Scene, step: int) -> None:
    scene.fleet.learn(step, 0.0, [])


def test_no_step_is_made_while_an_engine_still_takes_the_weights_before_it(scene: Scene) -> None:
    scene.receive_seconds = 0.1
    scene.resize(3)
    scene.until(lambda: len(scene.pool.workers) == 3)
    for step in range(3):
        scene.fleet.publish(step)
        learn(scene, step + 1)
    expected = [(step, step) for step in range(3)]
    assert [engine.read for engine in scene.engines] == [expected] * 3


def test_a_transfer_is_for_all_ranks_of_an_engine(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(0)
    scene.everybody_read(1, 0)
    assert scene.expected == [3]


def test_a_step_waits_until_an_engine_that_works_has_had_its_turn(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(0)
    scene.everybody_read(1, 0)
    working = scene.background.start(scene.pool.do(lambda one: one.call("", 5, "work", 0.2)))
    time.sleep(0.05)
    scene.fleet.publish(0)
    learn(scene, 1)
    assert working.done()
    assert scene.engines[0].read == [(0, 0), (0, 0)]


def test_who_comes_while_the_learner_holds_still_gets_what_the_others_hold(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(0)
    scene.everybody_read(1, 0)
    scene.resize(2)
    scene.everybody_read(2, 0)
    assert scene.published == []


def test_who_comes_in_the_middle_of_a_step_gets_what_it_makes_and_that_alone(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(0)
    scene.everybody_read(1, 0)
    scene.step_seconds = 0.3
    learning = threading.Thread(target=learn, args=(scene, 1))
    learning.start()
    scene.until(lambda: scene.weights is None)
    scene.resize(2)
    scene.until(lambda: len(scene.engines) == 2)
    learning.join()
    time.sleep(0.05)
    assert scene.engines[1].read == [], "nobody knows yet what it is that it would get"
    scene.fleet.publish(1)
    scene.everybody_read(2, 1)
    assert scene.engines[1].read == [(1, 1)]


def test_an_engine_that_is_only_starting_is_not_waited_for(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(0)
    scene.everybody_read(1, 0)
    slow = asyncio.Event()
    usual = scene._engine

    async def starting(name: str) -> Process:
        await slow.wait()
        return await usual(name)

    scene.pool._start = starting
    scene.resize(2)
    learn(scene, 1)
    scene.background.call(slow.set)
    assert scene.weights == 1


@pytest.mark.parametrize("fault", [Lost("it died"), WeightsError("a checksum")])
def test_an_engine_that_fails_in_the_middle_is_replaced_and_the_learner_waits_for_nobody(
    scene: Scene, fault: Exception
) -> None:
    scene.fault = fault
    scene.resize(1)
    scene.fleet.publish(0)
    scene.until(lambda: len(scene.engines) == 2 and scene.engines[1].read)
    assert len(scene.stopped) == 1
    assert len(scene.lost()) == 1
    assert str(fault) in scene.lost()[0]
    learn(scene, 1)
    assert scene.weights == 1


def test_with_the_learner_the_engine_ends_that_it_was_sending_to_and_that_one_alone(
    scene: Scene,
) -> None:
    scene.failures = 1
    scene.resize(3)
    scene.until(lambda: len(scene.pool.workers) == 3)
    scene.fleet.publish(0)
    with pytest.raises(Lost, match=r"learner-0, .*it died"):
        learn(scene, 1)
    scene.until(lambda: len(scene.engines) == 4)
    engines = [reason for reason in scene.lost() if reason.startswith("rollout")]
    assert len(engines) == 1
    assert (
        "the learner did not send all weights: learner-0, sending weights version 0" in engines[0]
    )
    assignment: Any = Assignment()
    scene.learner.start_stage(assignment)
    scene.fleet.publish(5)
    learn(scene, 6)
    assert sorted(len(engine.read) for engine in scene.engines) == [0, 1, 1, 1]


def test_without_a_learner_its_last_weights_come_out_of_the_store(scene: Scene) -> None:
    scene.resize(1)
    scene.fleet.publish(4)
    scene.everybody_read(1, 4)
    scene.fleet.keep(4)
    scene.learner.end_stage(another=False)
    scene.resize(2)
    scene.until(lambda: len(scene.engines) == 2 and scene.engines[1].loaded)
    assert scene.engines[1].loaded == [4]
    assert scene.engines[0].loaded == [], "it holds them"


def test_another_process_is_another_link_and_the_same_one_keeps_its_own(scene: Scene) -> None:
    links: list[int] = []
    usual = Reading.receive

    async def noting(engine: Reading, version: int, route: Route) -> int:
        links.append(route.link)
        return await usual(engine, version, route)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reading, "receive", noting)
        scene.resize(1)
        scene.fleet.publish(0)
        scene.everybody_read(1, 0)
        scene.fleet.publish(1)
        scene.everybody_read(1, 1)
        scene.fault = Lost("it died")
        scene.fleet.publish(2)
        scene.everybody_read(1, 2)
    one, same, *other = links
    assert one == same
    assert len({one, *other}) == 2


def test_the_way_follows_from_the_cards() -> None:
    assert way("auto", "rollout-0", "GPU a", "GPU a") == "ipc"
    assert way("auto", "rollout-0", "GPU b", "GPU a") == "nccl"
    assert way("ipc", "rollout-0", "GPU a", "GPU a") == "ipc"
    assert way("nccl", "rollout-0", "GPU b", "GPU a") == "nccl"
    assert way("nccl", "rollout-0", "machine a", "machine a") == "nccl"  # gloo


def test_a_way_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"weights.path = 'ipc': rollout-1 is on GPU b, and the"):
        way("ipc", "rollout-1", "GPU b", "GPU a")
    with pytest.raises(InputError, match=r"weights.path = 'nccl': rollout-1 and .* share GPU a"):
        way("nccl", "rollout-1", "GPU a", "GPU a")


def test_a_way_that_cannot_be_ends_the_run_instead_of_engine_after_engine(scene: Scene) -> None:
    async def elsewhere(_: Reading) -> str:
        return "card B"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reading, "card", elsewhere)
        scene.resize(1)
        scene.fleet.publish(0)
        with pytest.raises(InputError, match=r"Use weights\.path = auto"):
            scene.background.run(scene.pool.do(lambda one: one.call("", 5, "work", 0.0)))
    assert len(scene.engines) == 1
