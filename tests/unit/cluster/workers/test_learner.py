"""The learner's ranks as one, with ranks that live in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stand_ins import Here, Rank

from cluster.workers.background import Background
from cluster.workers.learner import Learner
from cluster.workers.pool import Notice
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import FaultsConfig
from videothinker.errors import InputError, Lost, VideoThinkerError
from videothinker.types import SignOfLife

LIMITS = dict.fromkeys(("start_seconds", "learn_seconds", "sync_seconds", "save_seconds"), 0.3)
FAULTS = FaultsConfig(heartbeat_seconds=0.02, backoff_seconds=0.05, restarts=3, **LIMITS)
"""Calls are late long before a process counts as silent."""
ATTENTIVE = FaultsConfig(heartbeat_seconds=0.02, silent_seconds=0.4, backoff_seconds=0)
"""The other way round."""


class Fragile(Rank):
    """One of two; hangs in the method that `hangs` names, and waits there for the other one."""

    def __init__(self, crew: Crew, name: str) -> None:
        super().__init__(0.0)
        self._crew = crew
        self._name = name
        self.doing = "idle"

    async def pulse(self) -> SignOfLife:
        if (self._name, "pulse") in self._crew.hangs:
            await asyncio.sleep(60)
        return await super().pulse()

    async def _in(self, method: str) -> None:
        self.doing = f"in {method}"
        if any(hung == method for _, hung in self._crew.hangs):  # or where the other one waits
            await asyncio.sleep(60)
        self.doing = "idle"

    async def connect(self, *_: Any) -> None:
        await self._in("connect")

    async def start_stage(self, *_: Any) -> list[int]:
        await self._in("start_stage")
        return PARTS

    async def step(self, step: int, *_: Any) -> Any:
        await self._in("step")
        return await super().step(step)

    async def publish(self, version: int, number: int) -> int:
        await self._in("publish")
        return await super().publish(version, number)

    async def logprobs(self, *_: Any) -> str:
        await self._in("logprobs")
        return self._name

    async def save_state(self, folder: Path) -> None:
        await self._in("save_state")

    async def load_state(self, folder: Path) -> None:
        await self._in("load_state")

    async def save_model(self, *_: Any) -> str:
        await self._in("save_model")
        return ""


PARTS = [5, 6, 7]
"""Bytes of those in which a policy is published."""


class Crew:
    """A learner of two ranks, what is wrong with them, and what was noticed."""

    def __init__(self, faults: FaultsConfig = FAULTS) -> None:
        self.hangs: set[tuple[str, str]] = set()
        self.broken: Exception | None = None
        self.notices: list[Notice] = []
        self.started: list[float] = []
        self.background = Background()
        self.learner = Learner(self.background, self.start, 2, faults, self.notices.append)

    async def start(self, name: str) -> Here:
        self.started.append(time.monotonic())
        if self.broken is not None:
            raise self.broken
        return Here(name, Fragile(self, name))

    def lost(self) -> list[str]:
        return [notice.reason for notice in self.notices if notice.event == "lost"]


def working(faults: FaultsConfig) -> Iterator[Crew]:
    crew = Crew(faults)
    crew.learner.start()
    crew.learner.start_stage(ASSIGNMENT)
    crew.learner.publish(7)
    yield crew
    crew.learner.close()
    crew.background.close()


@pytest.fixture
def crew() -> Iterator[Crew]:
    yield from working(FAULTS)


@pytest.fixture
def attentive() -> Iterator[Crew]:
    yield from working(ATTENTIVE)


CALLS = {
    "start_stage": (lambda learner: learner.start_stage(ASSIGNMENT), "loading /models/base"),
    "step": (lambda learner: learner.step(3, 0.0, []), "step 3 from weights version 7"),
    "publish": (lambda learner: learner.publish(8), "publishing weights version 8"),
    "save_state": (lambda learner: learner.save_state(Path("s")), "saving weights version 7"),
    "load_state": (lambda learner: learner.load_state(Path("step_000002")), "step_000002"),
    "save_model": (
        lambda learner: learner.save_model(Path("m"), Path("b")),
        "exporting weights version 7",
    ),
}


class Assignment:
    model = Path("/models/base")
    learner = LearnerConfig()


ASSIGNMENT: Any = Assignment()


@pytest.fixture(autouse=True)
def no_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No groups, so nothing to deal out."""
    monkeypatch.setattr(
        "cluster.workers.shares.split", lambda costs, ranks: [[] for _ in range(ranks)]
    )


def test_weights_are_published_part_by_part_and_in_order(crew: Crew) -> None:
    """The stand-in's reference is what it was asked: the version and the part's number."""
    assert crew.learner.publish(9) == [[9, number] for number in range(len(PARTS))]
    assert crew.learner.weights_bytes == 18


def test_its_ranks_are_its_workers_as_long_as_a_stage_has_them(crew: Crew) -> None:
    assert [rank.name for rank in crew.learner.workers] == ["learner-0", "learner-1"]
    crew.learner.end_stage(another=False)
    assert (list(crew.learner.workers), crew.learner.weights_bytes) == ([], 0)


@pytest.mark.parametrize("method", CALLS)
def test_a_rank_that_hangs_ends_the_call_within_its_limit_and_is_named(
    attentive: Crew, method: str
) -> None:
    call, phase = CALLS[method]
    attentive.hangs = {("learner-1", "pulse"), ("learner-1", method)}
    started = time.monotonic()
    with pytest.raises(Lost) as lost:
        call(attentive.learner)
    assert time.monotonic() - started < 4
    message = str(lost.value)
    assert message.startswith("learner-1, ")
    assert phase in message
    assert "no sign of life within 0.4 s" in message


def test_when_all_ranks_live_but_wait_the_message_has_what_each_is_doing(crew: Crew) -> None:
    crew.hangs = {("both", "step")}
    with pytest.raises(Lost) as lost:
        crew.learner.step(3, 0.0, [])
    assert str(lost.value) == (
        "learner-0, step 3 from weights version 7: no answer within 0.3 s; it was last heard of in"
        " step; learner-1 meanwhile: in step"
    )


def test_all_ranks_are_replaced_when_one_is_lost(attentive: Crew) -> None:
    attentive.hangs = {("learner-1", "pulse"), ("learner-1", "step")}
    with pytest.raises(Lost):
        attentive.learner.step(3, 0.0, [])
    attentive.hangs = set()
    attentive.learner.start_stage(ASSIGNMENT)
    assert len(attentive.started) == 4
    assert attentive.learner.step(3, 0.0, []).step == 3
    assert [notice.worker for notice in attentive.notices if notice.event == "served"] == [
        "learner"
    ]


def test_a_rank_that_is_lost_while_nobody_asks_ends_other_waiting(attentive: Crew) -> None:
    attentive.hangs = {("learner-0", "pulse")}
    started = time.monotonic()
    with pytest.raises(Lost, match=r"^learner-0, watched: no sign of life"):
        attentive.background.run(attentive.learner.meanwhile(asyncio.sleep(60)))
    assert time.monotonic() - started < 4


def test_other_work_is_waited_for_while_the_ranks_live(crew: Crew) -> None:
    assert crew.background.run(crew.learner.meanwhile(asyncio.sleep(0.05, "done"))) == "done"


def test_a_learner_that_is_lost_again_and_again_stops_the_run_with_the_reason(crew: Crew) -> None:
    crew.hangs = {("both", "step")}
    for _ in range(3):
        with pytest.raises(Lost):
            crew.learner.step(3, 0.0, [])
        crew.learner.start()
    with pytest.raises(VideoThinkerError, match=r"lost 4 times in a row.*step 3") as stopped:
        crew.learner.step(3, 0.0, [])
    assert not isinstance(stopped.value, Lost)


def test_the_pause_before_new_ranks_doubles_with_each_loss(crew: Crew) -> None:
    crew.hangs = {("both", "step")}
    pauses = []
    for _ in range(3):
        with pytest.raises(Lost):
            crew.learner.step(3, 0.0, [])
        lost = time.monotonic()
        crew.learner.start()
        pauses.append(crew.started[-1] - lost)
    assert pauses[0] >= 0.05
    assert pauses[1] >= 0.1
    assert pauses[2] >= 0.2
    announced = [notice.seconds for notice in crew.notices if notice.event == "lost"]
    assert announced == [0.05, 0.05, 0.1, 0.1, 0.2, 0.2]


def test_ranks_that_could_start_before_are_tried_again_when_they_cannot(crew: Crew) -> None:
    crew.hangs = {("both", "step")}
    with pytest.raises(Lost):
        crew.learner.step(3, 0.0, [])
    crew.broken = VideoThinkerError("learner-0, starting: no room on the device")
    with pytest.raises(Lost, match="no room on the device"):
        crew.learner.start_stage(ASSIGNMENT)


def test_ranks_that_never_could_start_are_not_tried_again() -> None:
    crew = Crew()
    crew.broken = InputError("model.path: no such folder")
    with pytest.raises(InputError, match="no such folder"):
        crew.learner.start()
    assert len(crew.started) == 2  # both at once
    crew.background.close()


def told(crew: Crew, event: str) -> list[str]:
    return [notice.worker for notice in crew.notices if notice.event == event]


def test_a_stage_never_gets_ranks_that_have_served_another(crew: Crew) -> None:
    """DeepSpeed would keep what it made for that one: the run would grow from stage to stage."""
    crew.learner.start_stage(ASSIGNMENT)
    assert len(crew.started) == 4
    assert told(crew, "released") == ["learner-0", "learner-1"]
    assert not crew.lost()


def test_a_stage_that_is_over_gives_everything_back_and_the_next_one_s_ranks_start_meanwhile(
    crew: Crew,
) -> None:
    crew.learner.end_stage(another=True)
    assert told(crew, "released") == ["learner-0", "learner-1"]
    deadline = time.monotonic() + 5
    while len(told(crew, "started")) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    crew.learner.start_stage(ASSIGNMENT)
    assert len(crew.started) == 4
    assert crew.learner.step(1, 0.0, []).step == 1


def test_after_the_last_stage_nobody_starts(crew: Crew) -> None:
    crew.learner.end_stage(another=False)
    assert crew.learner.occupancy().present == 0
    time.sleep(0.1)
    assert len(crew.started) == 2


def test_a_start_that_failed_meanwhile_is_heard_of_when_its_stage_begins(crew: Crew) -> None:
    crew.broken = VideoThinkerError("learner-0, starting: no room on the device")
    crew.learner.end_stage(another=True)
    with pytest.raises(Lost, match="no room on the device"):
        crew.learner.start_stage(ASSIGNMENT)
    crew.broken = None
    crew.learner.start_stage(ASSIGNMENT)
    assert crew.learner.step(1, 0.0, []).step == 1


def test_a_run_that_ends_while_ranks_start_leaves_none(crew: Crew) -> None:
    crew.learner.end_stage(another=True)
    crew.learner.close()
    assert crew.learner.occupancy().present == 0


GROUP: Any = SimpleNamespace(question=SimpleNamespace(id="q"), weights_version=7)
PREPARED: Any = SimpleNamespace(prompt=None)


def scored(crew: Crew, times: int) -> list[Any]:
    """So many groups at once: what is said of each, or why not."""

    async def ask() -> list[Any]:
        asked = [crew.learner.score(GROUP, PREPARED, False) for _ in range(times)]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    return crew.background.run(ask())


def test_its_ranks_score_in_turn(crew: Crew) -> None:
    assert scored(crew, 4) == ["learner-0", "learner-1"] * 2


def test_a_rank_that_is_lost_while_it_scores_ends_all_and_is_lost_once(attentive: Crew) -> None:
    attentive.hangs = {("learner-1", "pulse"), ("learner-1", "logprobs")}
    answers = scored(attentive, 2 * ATTENTIVE.restarts)
    assert all(isinstance(one, Lost) for one in answers), "each a loss would be too many in a row"
    assert len(attentive.lost()) == 2, "one of each rank"
    assert list(attentive.learner.workers) == []
    [answer] = scored(attentive, 1)
    assert isinstance(answer, Lost)
    attentive.hangs = set()
    attentive.learner.start_stage(ASSIGNMENT)
    assert {*scored(attentive, 2)} == {"learner-0", "learner-1"}
