"""Questions beyond a step's: each is answered once, and only so many prompts exist at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from typing import Any

import pytest
from builders import question
from stand_ins import Engine, Here, Pacing, Sampler

from cluster.loop.asking import Asking, Reply, Room
from cluster.workers.background import Background
from cluster.workers.fleet import Loader, Rollouts
from cluster.workers.pool import Pool
from videothinker.config.settings import FaultsConfig
from videothinker.types import Failure, Question, RolloutGroup

FAULTS = FaultsConfig(backoff_seconds=0.0)
TOGETHER, WORKERS = 4, 2
SIZE = 100
"""Bytes of a prompt."""


class Counted:
    """Prompts that exist: made, and not answered at the last temperature yet."""

    def __init__(self, temperatures: int) -> None:
        self.temperatures = temperatures
        self.now = self.most = self.made = 0
        self._answers: dict[str, int] = {}

    def make(self) -> None:
        self.made += 1
        self.now += 1
        self.most = max(self.most, self.now)

    def answer(self, question: Question) -> None:
        self._answers[question.id] = self._answers.get(question.id, 0) + 1
        self.now -= self._answers[question.id] == self.temperatures


class Maker(Engine):
    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    async def prepare(self, asked: Question, *_: Any) -> tuple[Failure | None, dict[str, int], int]:
        if asked.id == "q7":
            return Failure(kind="video", reason="broken"), {"failed": 1}, 0
        self._counted.make()
        return None, {"decoded": 1, "unkept": 1}, SIZE


class Answering(Sampler):
    def __init__(self, name: str, counted: Counted) -> None:
        super().__init__(name, Pacing(0.001))
        self._counted = counted

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            self._counted.answer(group.question)
            yield index, group


@pytest.fixture
def background() -> Iterator[Background]:
    with closing(Background()) as background:
        yield background


def opened(background: Background, role: str, engine: Any, count: int, at_once: int = 1) -> Pool:
    async def start(name: str) -> Here:
        return Here(name, engine(name))

    pool = Pool(role, start, FAULTS, lambda _: None, at_once=at_once)
    background.call(pool.resize, count)
    return pool


def replies(
    background: Background,
    counted: Counted,
    temperatures: list[float],
    count: int = 40,
    engine: type[Answering] = Answering,
    **how: Any,
) -> list[Reply]:
    maker = opened(background, "loader", lambda _: Maker(counted), 1)
    at_once = TOGETHER if how else 1
    engines = opened(background, "rollout", lambda name: engine(name, counted), WORKERS, at_once)
    asking = Asking(
        loader=Loader([maker], FAULTS),
        rollouts=Rollouts(background, engines, FAULTS),
        samples=1,
        together=TOGETHER,
        temperatures=temperatures,
        **how,
    )
    asked = [question(f"q{number}") for number in range(count)]
    found = list(background.iterate(asking.replies(asked, range(count))))

    async def close() -> None:
        await asyncio.gather(maker.close(), engines.close())

    background.run(close())
    return found


def test_every_question_is_answered_once_at_each_temperature(background: Background) -> None:
    found = replies(background, Counted(2), [1.0, 0.0])
    told = sorted((reply.question.id, reply.temperature) for reply in found)
    assert told == sorted((f"q{n}", heat) for n in range(40) for heat in (0.0, 1.0))


def test_clips_that_cannot_be_kept_are_said_once(
    background: Background, caplog: pytest.LogCaptureFixture
) -> None:
    replies(background, Counted(1), [1.0])
    assert caplog.text.count("data.cache: decoded clips cannot be kept") == 1


def test_a_question_without_a_prompt_comes_back_with_its_reason(background: Background) -> None:
    [failed] = [
        reply
        for reply in replies(background, Counted(1), [1.0])
        if isinstance(reply.outcome, Failure)
    ]
    assert (failed.question.id, failed.outcome) == ("q7", Failure(kind="video", reason="broken"))


def test_one_unit_more_than_there_are_engines_is_prepared(background: Background) -> None:
    counted = Counted(1)
    replies(background, counted, [1.0])
    assert counted.made == 39
    assert TOGETHER < counted.most <= (WORKERS + 1) * TOGETHER


def test_a_prompt_is_made_once_for_all_temperatures(background: Background) -> None:
    counted = Counted(2)
    replies(background, counted, [1.0, 0.0])
    assert counted.made == 39


class Broken(Answering):
    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            if group.question.id == "q0":
                raise KeyError("a bug")
            yield index, group


def test_where_one_unit_fails_nobody_goes_on_asking(background: Background) -> None:
    counted = Counted(1)
    with pytest.raises(KeyError, match="a bug"):
        replies(background, counted, [1.0], 400, Broken)
    made = counted.made
    background.run(asyncio.sleep(0.3))
    assert counted.made <= made + (WORKERS + 1) * TOGETHER < 400


def test_one_by_one_every_question_is_answered_once_as_well(background: Background) -> None:
    counted = Counted(2)
    found = replies(background, counted, [1.0, 0.0], one_by_one=True)
    told = sorted((reply.question.id, reply.temperature) for reply in found)
    assert told == sorted((f"q{n}", heat) for n in range(40) for heat in (0.0, 1.0))
    assert TOGETHER < counted.most <= (WORKERS + 1) * TOGETHER


class Uneven(Answering):
    """One question takes as long as all others together."""

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            if group.question.id == "q0":
                await asyncio.sleep(0.5)
            yield index, group


@pytest.mark.parametrize(("how", "meanwhile"), [({}, False), ({"one_by_one": True}, True)])
def test_one_by_one_nobody_waits_for_the_slowest(
    background: Background, how: dict[str, bool], meanwhile: bool
) -> None:
    found = replies(background, Counted(1), [1.0], engine=Uneven, **how)
    told = [reply.question.id for reply in found]
    assert (told[-1] == "q0") == meanwhile
    neighbours = [told.index(f"q{number}") for number in (1, 2, 3)]
    assert (max(neighbours) < told.index("q0")) == meanwhile


def test_a_question_that_fails_one_by_one_ends_all(background: Background) -> None:
    counted = Counted(1)
    with pytest.raises(KeyError, match="a bug"):
        replies(background, counted, [1.0], 400, Broken, one_by_one=True)
    made = counted.made
    background.run(asyncio.sleep(0.3))
    assert counted.made <= made + 2 < 400


@pytest.mark.parametrize("most", [SIZE * 5, 1])
def test_prompts_take_no_more_bytes_than_they_may_and_one_always_may(
    background: Background, most: int
) -> None:
    counted = Counted(1)
    found = replies(background, counted, [1.0], one_by_one=True, most_bytes=most)
    assert len(found) == 40
    assert counted.most == max(1, most // SIZE)


def test_what_is_being_made_counts_as_the_largest_so_far(background: Background) -> None:
    room = Room(units=9, made_at_once=2, most_bytes=100)

    async def entered() -> bool:
        try:
            await asyncio.wait_for(room.enter(), 0.01)
        except TimeoutError:
            return False
        return True

    async def enter() -> list[bool]:
        told = [await entered(), await entered()]  # the first of all is alone
        room.made(60)
        told.append(await entered())  # 60, and one of 60
        room.leave(60)
        told.append(await entered())  # one of 60
        room.made(10)
        told += [await entered(), await entered()]  # 10, and one or two of 60
        return told

    assert background.run(enter()) == [True, False, False, True, True, False]


def test_no_more_are_made_at_a_time_than_the_loaders_need(background: Background) -> None:
    room = Room(units=9, made_at_once=2, most_bytes=100)

    async def enter() -> None:
        await room.enter()
        room.made(1)
        await room.enter()
        await room.enter()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(room.enter(), 0.01)

    background.run(enter())
