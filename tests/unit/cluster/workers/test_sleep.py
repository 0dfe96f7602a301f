"""Engines that sleep while the learner works: who is waited for, and who may come when."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stand_ins import Engine, Here, Rank

from cluster.workers.background import Background
from cluster.workers.fleet import Fleet, Rollouts
from cluster.workers.learner import Learner
from cluster.workers.pool import Notice, Pool
from cluster.workers.process import Process
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import FaultsConfig
from videothinker.errors import Lost, WeightsError

FAULTS = FaultsConfig(
    heartbeat_seconds=0.02, silent_seconds=5, sync_seconds=2, backoff_seconds=0, restarts=3
)
PATIENCE = 5.0


class Assignment:
    model = "/models/base"
    learner = LearnerConfig()


class Works(Rank):
    """Sees in each step who is there, and how; lasts until the scene lets it go on."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(0.0)
        self._scene = scene

    async def step(self, step: int, *_: Any) -> Any:
        scene = self._scene
        scene.seen.append({engine.name: engine.state for engine in scene.engines})
        while not scene.go_on.is_set():
            await asyncio.sleep(0.001)
        scene.seen.append({engine.name: engine.state for engine in scene.engines})
        if scene.fault is not None:
            raise scene.fault
        return await super().step(step)


class Sleeper(Engine):
    """An engine; `state` is what it last did."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.name = name
        self.state = "fresh"
        self._scene = scene

    async def sleep(self) -> None:
        await asyncio.sleep(self._scene.sleep_seconds)
        if self._scene.sleepless:
            raise self._scene.sleepless.pop()
        self.state = "asleep"

    async def load(self, version: int, *_: Any) -> int:
        self.state = f"holds {version}"
        return version


class Scene:
    """A learner of one rank, a pool of engines, and everyone who was ever started."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.fault: Exception | None = None
        self.sleepless: list[Exception] = []
        self.sleep_seconds = 0.0
        self.go_on, self.may_come = threading.Event(), threading.Event()
        self.go_on.set()
        self.may_come.set()
        self.engines: list[Sleeper] = []
        self.starting = 0
        self.processes: list[Here] = []
        self.notices: list[Notice] = []
        self.background = Background()
        self.learner = Learner(self.background, self._rank, 1, FAULTS, self.notices.append)
        self.pool = Pool("rollout", self._engine, FAULTS, self.notices.append)
        nothing: Any = None
        self.fleet = Fleet(
            background=self.background,
            loader=nothing,
            rollouts=Rollouts(self.background, self.pool, FAULTS, sleeping=True),
            anchor=nothing,
            learner=self.learner,
            require_room=nothing,
            spilled_bytes=nothing,
        )

    async def _rank(self, name: str) -> Process:
        return Here(name, Works(self))

    async def _engine(self, name: str) -> Process:
        self.starting += 1
        while not self.may_come.is_set():
            await asyncio.sleep(0.001)
        self.engines.append(Sleeper(self, name))
        self.processes.append(Here(name, self.engines[-1]))
        return self.processes[-1]

    def resize(self, count: int) -> None:
        self.background.call(self.pool.resize, count)

    def until(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.005)

    def states(self) -> list[str]:
        return [engine.state for engine in self.engines]

    def learning(self, step: int) -> threading.Thread:
        thread = threading.Thread(target=learn, args=(self, step))
        thread.start()
        return thread


@pytest.fixture(autouse=True)
def no_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.workers.shares.split", lambda costs, ranks: [[]] * ranks)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Two engines that hold version 0."""
    made = Scene()
    start_stage(made)
    made.resize(2)
    made.fleet.publish(0)
    made.until(lambda: made.states() == ["holds 0", "holds 0"])
    yield made
    made.go_on.set()
    made.may_come.set()
    made.background.run(made.pool.close())
    made.learner.close()
    made.background.close()


def start_stage(scene: Scene) -> None:
    assignment: Any = Assignment()
    scene.learner.start_stage(assignment)


def learn(scene: Scene, step: int) -> None:
    scene.fleet.learn(step, 0.0, [])


ASLEEP = {"rollout-0": "asleep", "rollout-1": "asleep"}


def test_everybody_sleeps_before_the_learner_works_and_wakes_with_what_it_publishes(
    scene: Scene,
) -> None:
    scene.sleep_seconds = 0.05
    for step in (1, 2):
        learn(scene, step)
        scene.fleet.publish(step)
        scene.until(lambda: scene.states() == [f"holds {step}"] * 2)  # noqa: B023
    assert scene.seen == [ASLEEP] * 4


def test_an_engine_that_dies_asleep_is_replaced_once_the_learner_rests_and_takes_only_what_is_new(
    scene: Scene,
) -> None:
    """An engine starts awake: beside a learner at work there is no room for it."""
    scene.go_on.clear()
    learning = scene.learning(1)
    scene.until(lambda: scene.seen)
    scene.background.call(scene.processes[0].give_up, "it died")
    scene.until(lambda: [one for one in scene.notices if one.event == "lost"])
    time.sleep(0.1)
    assert scene.starting == 2
    scene.go_on.set()
    learning.join()
    assert scene.starting == 2
    scene.fleet.publish(1)
    scene.until(lambda: scene.states() == ["asleep", "holds 1", "holds 1"])
    assert scene.engines[2].name == "rollout-0"


def test_an_engine_that_was_being_started_is_waited_for_and_sleeps_too(scene: Scene) -> None:
    scene.may_come.clear()
    scene.resize(3)
    scene.until(lambda: scene.starting == 3)
    learning = scene.learning(1)
    time.sleep(0.1)
    assert scene.seen == []
    scene.may_come.set()
    learning.join()
    assert scene.seen[0] == ASLEEP | {"rollout-2": "asleep"}


def test_who_is_asked_for_while_the_learner_works_starts_when_it_rests(scene: Scene) -> None:
    scene.go_on.clear()
    learning = scene.learning(1)
    scene.until(lambda: scene.seen)
    scene.resize(3)
    time.sleep(0.1)
    assert scene.starting == 2
    scene.go_on.set()
    learning.join()
    scene.fleet.publish(1)
    scene.until(lambda: scene.states() == ["holds 1"] * 3)


def test_one_that_does_not_fall_asleep_is_ended_and_the_learner_does_not_wait_for_another(
    scene: Scene,
) -> None:
    scene.sleepless = [WeightsError("requests lie in it")]
    learn(scene, 1)
    [lost] = [one.reason for one in scene.notices if one.event == "lost"]
    assert "falling asleep: requests lie in it" in lost
    assert sorted(scene.states()) == ["asleep", "holds 0"]
    assert scene.starting == 2
    scene.fleet.publish(1)
    scene.until(lambda: scene.states().count("holds 1") == 2)


def test_a_learner_lost_at_work_leaves_engines_asleep_until_its_successor_publishes(
    scene: Scene,
) -> None:
    scene.fault = Lost("it died")
    with pytest.raises(Lost):
        learn(scene, 1)
    scene.fault = None
    assert scene.states() == ["asleep", "asleep"]
    start_stage(scene)
    scene.fleet.publish(0)
    scene.until(lambda: scene.states() == ["holds 0", "holds 0"])


def test_without_the_setting_nobody_sleeps(scene: Scene) -> None:
    scene.fleet.rollouts.sleeping = False
    learn(scene, 1)
    assert scene.seen == [{"rollout-0": "holds 0", "rollout-1": "holds 0"}] * 2
