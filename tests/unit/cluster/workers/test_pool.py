"""The pool with workers that live in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from cluster.workers.pool import Notice, Occupancy, Pool, Post
from videothinker.config.settings import FaultsConfig
from videothinker.errors import GivenUp, InputError, Lost, VideoThinkerError

FAULTS = FaultsConfig(backoff_seconds=0.001, restarts=2, attempts=3)


class Hand:
    """A worker that does as it is told, until it is killed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = 0
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def watch(self, faults: FaultsConfig) -> None:
        raise Lost(await asyncio.shield(self._lost))

    def give_up(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)

    async def take(self, seconds: float = 0.0) -> str:
        """Its name, after a while; Lost when it is killed before."""
        await asyncio.wait({self._lost}, timeout=seconds)
        if self._lost.done():
            raise Lost(f"{self.name}: {self._lost.result()}")
        return self.name


class Crew:
    """A pool of hands, everyone who was ever hired, and what was noticed."""

    def __init__(self, faults: FaultsConfig = FAULTS, **options: bool | int) -> None:
        self.hired: list[Hand] = []
        self.notices: list[Notice] = []
        self.pool = Pool("hand", self.hire, faults, self.notices.append, **options)  # type: ignore[arg-type]

    async def hire(self, name: str) -> Hand:
        self.hired.append(Hand(name))
        return self.hired[-1]

    def events(self) -> list[str]:
        return [f"{notice.event} {notice.worker}" for notice in self.notices]


def playing(scene: Callable[[Crew], Awaitable[None]], crew: Callable[[], Crew] = Crew) -> None:
    async def play() -> None:
        cast = crew()
        await asyncio.wait_for(scene(cast), 10)
        await cast.pool.close()

    asyncio.run(play())


def test_jobs_go_to_whoever_is_free() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(2)
        slow, *quick = await asyncio.gather(
            *[crew.pool.do(lambda hand, s=s: hand.take(s)) for s in (0.2, 0.01, 0.01, 0.01)]
        )
        assert quick == ["hand-1"] * 3
        assert slow == "hand-0"

    playing(scene)


def test_nobody_gets_a_second_job_while_another_has_none() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(2)
        for _ in range(3):
            async with asyncio.timeout(10):
                while crew.pool.occupancy() != Occupancy(wanted=2, present=2, busy=0):
                    await asyncio.sleep(0)
            jobs = [crew.pool.do(lambda hand: hand.take(0.01)) for _ in range(2)]
            assert sorted(await asyncio.gather(*jobs)) == ["hand-0", "hand-1"]

    playing(scene, lambda: Crew(at_once=2))


def test_what_a_worker_has_begun_goes_on_where_nobody_waits_for_it_any_more() -> None:
    async def scene(crew: Crew) -> None:
        log: list[str] = []

        async def work(hand: Hand, name: str) -> None:
            log.append(f"{name} begins")
            await hand.take(0.05)
            log.append(f"{name} ends")

        crew.pool.resize(1)
        first = asyncio.create_task(crew.pool.do(lambda hand: work(hand, "first")))
        await asyncio.sleep(0.02)
        first.cancel()
        await crew.pool.do(lambda hand: work(hand, "second"))
        assert log == ["first begins", "first ends", "second begins", "second ends"]

    playing(scene)


def test_a_worker_that_was_given_to_somebody_who_left_is_free_again() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(1)
        await crew.pool.do(lambda hand: hand.take())
        leaving = asyncio.create_task(crew.pool.do(lambda hand: hand.take()))
        while not crew.pool.occupancy().busy:
            await asyncio.sleep(0)
        leaving.cancel()
        assert await crew.pool.do(lambda hand: hand.take()) == "hand-0"

    playing(scene)


def test_smaller_orders_are_begun_first() -> None:
    async def scene(crew: Crew) -> None:
        begun: list[int] = []

        async def note(hand: Hand, number: int) -> None:
            begun.append(number)
            await hand.take(0.01)

        waiting = [
            asyncio.create_task(crew.pool.do(lambda hand, n=n: note(hand, n), (n,)))
            for n in (3, 1, 2)
        ]
        await asyncio.sleep(0)
        crew.pool.resize(1)
        await asyncio.gather(*waiting)
        assert begun == [1, 2, 3]

    playing(scene)


def test_a_job_survives_the_worker_that_did_it_and_is_delivered_once() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(1)
        job = asyncio.create_task(crew.pool.do(lambda hand: hand.take(0.1)))
        await asyncio.sleep(0.02)
        crew.hired[0].give_up("killed")
        assert await job == "hand-0"
        assert len(crew.hired) == 2
        assert crew.events() == ["started hand-0", "lost hand-0", "started hand-0", "served hand-0"]
        assert crew.notices[1].reason.endswith("killed")

    playing(scene)


def test_a_loss_does_not_touch_what_others_do() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(2)
        jobs = [asyncio.create_task(crew.pool.do(lambda hand: hand.take(0.1))) for _ in range(2)]
        await asyncio.sleep(0.02)
        crew.hired[0].give_up("killed")
        assert await jobs[1] == "hand-1"
        await jobs[0]
        assert [hand.name for hand in crew.hired] == ["hand-0", "hand-1", "hand-0"]

    playing(scene)


def test_an_idle_worker_that_is_lost_is_replaced_too() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(1)
        await crew.pool.do(lambda hand: hand.take())
        crew.hired[0].give_up("killed")
        await asyncio.sleep(0.05)
        assert len(crew.hired) == 2
        assert await crew.pool.do(lambda hand: hand.take()) == "hand-0"

    playing(scene)


def test_a_job_that_costs_worker_after_worker_is_given_up() -> None:
    async def scene(crew: Crew) -> None:
        async def poison(hand: Hand) -> None:
            hand.give_up("poisoned")
            await hand.take()

        crew.pool.resize(2)
        with pytest.raises(GivenUp, match=r"(poisoned.*){3}"):
            await crew.pool.do(poison)
        assert await crew.pool.do(lambda hand: hand.take()) in ("hand-0", "hand-1")

    playing(scene)


def test_a_worker_that_dies_again_and_again_stops_everything_with_the_reason() -> None:
    async def scene(crew: Crew) -> None:
        async def stillborn(name: str) -> Hand:
            raise Lost(f"{name}: no room on the device")

        crew.pool._start = stillborn  # type: ignore[assignment]
        crew.pool.resize(1)
        for _ in range(2):
            with pytest.raises(VideoThinkerError, match=r"lost 3 times in a row.*no room on the"):
                await crew.pool.do(lambda hand: hand.take())

    playing(scene)


def test_a_worker_that_cannot_start_at_all_is_not_tried_again() -> None:
    async def scene(crew: Crew) -> None:
        tried: list[str] = []

        async def refuse(name: str) -> Hand:
            tried.append(name)
            raise InputError("model.path: no such folder")

        crew.pool._start = refuse  # type: ignore[assignment]
        crew.pool.resize(1)
        with pytest.raises(InputError, match="no such folder"):
            await crew.pool.do(lambda hand: hand.take())
        assert tried == ["hand-0"]

    playing(scene)


def test_an_error_of_the_work_itself_reaches_who_asked_and_costs_no_worker() -> None:
    async def scene(crew: Crew) -> None:
        async def fail(hand: Hand) -> None:
            raise KeyError("a bug")

        crew.pool.resize(1)
        with pytest.raises(KeyError, match="a bug"):
            await crew.pool.do(fail)
        assert await crew.pool.do(lambda hand: hand.take()) == "hand-0"
        assert len(crew.hired) == 1

    playing(scene)


def test_nobody_begins_a_job_before_the_requirement_is_met() -> None:
    async def scene(crew: Crew) -> None:
        async def load(hand: Hand) -> None:
            await hand.take(0.02)
            hand.held = 7

        async def look(hand: Hand) -> int:
            return hand.held

        crew.pool.resize(2)
        crew.pool.require(load)
        assert await asyncio.gather(*[crew.pool.do(look) for _ in range(4)]) == [7] * 4
        crew.hired[0].give_up("killed")  # its replacement comes without the weights
        await asyncio.sleep(0.05)
        assert await asyncio.gather(*[crew.pool.do(look) for _ in range(4)]) == [7] * 4

    playing(scene)


def test_a_requirement_waits_for_jobs_under_way() -> None:
    async def scene(crew: Crew) -> None:
        log: list[str] = []

        async def work(hand: Hand) -> None:
            log.append("begin")
            await hand.take(0.05)
            log.append("end")

        async def load(hand: Hand) -> None:
            log.append("load")

        crew.pool.resize(1)
        first = [asyncio.create_task(crew.pool.do(work)) for _ in range(2)]
        await asyncio.sleep(0.02)
        crew.pool.require(load)
        await asyncio.gather(*first, crew.pool.do(work))
        assert log == ["begin", "begin", "end", "end", "load", "begin", "end"]

    playing(scene, lambda: Crew(at_once=2))


def test_an_interrupting_requirement_is_met_in_the_middle_of_jobs() -> None:
    async def scene(crew: Crew) -> None:
        log: list[str] = []

        async def work(hand: Hand) -> None:
            log.append("begin")
            await hand.take(0.05)
            log.append("end")

        async def load(hand: Hand) -> None:
            log.append("load")

        crew.pool.resize(1)
        first = asyncio.create_task(crew.pool.do(work))
        await asyncio.sleep(0.02)
        crew.pool.require(load)
        await first
        assert log == ["begin", "load", "end"]

    playing(scene, lambda: Crew(interrupting=True))


def test_a_worker_that_leaves_finishes_what_it_has_begun() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(3)
        jobs = [asyncio.create_task(crew.pool.do(lambda hand: hand.take(0.05))) for _ in range(3)]
        await asyncio.sleep(0.02)
        crew.pool.resize(1)
        assert sorted(await asyncio.gather(*jobs)) == ["hand-0", "hand-1", "hand-2"]
        await asyncio.sleep(0.02)
        assert [worker.name for worker in crew.pool.workers] == ["hand-0"]
        assert {event for event in crew.events() if event.startswith("left")} == {
            "left hand-1",
            "left hand-2",
        }
        assert len(crew.hired) == 3  # nothing was done twice

    playing(scene)


def test_workers_can_be_added_while_jobs_wait() -> None:
    async def scene(crew: Crew) -> None:
        crew.pool.resize(1)
        jobs = [asyncio.create_task(crew.pool.do(lambda hand: hand.take(0.05))) for _ in range(6)]
        await asyncio.sleep(0.01)
        crew.pool.resize(3)
        assert set(await asyncio.gather(*jobs)) == {"hand-0", "hand-1", "hand-2"}

    playing(scene)


class LookedAt(Post):
    """A post that counts how often somebody looks whether it may be given work."""

    looks = 0

    @property
    def ready(self) -> bool:
        LookedAt.looks += 1
        return self._ready

    @ready.setter
    def ready(self, value: bool) -> None:
        self._ready = value


def test_a_job_is_dealt_without_a_look_at_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.workers.pool.Post", LookedAt)

    async def scene(crew: Crew) -> None:
        crew.pool.resize(500)
        while crew.pool.occupancy() != Occupancy(wanted=500, present=500, busy=0):
            await asyncio.sleep(0)
        LookedAt.looks = 0
        await asyncio.gather(*[crew.pool.do(lambda hand: hand.take()) for _ in range(2_000)])
        assert LookedAt.looks < 10 * 2_000  # a hundred times as often, if each is looked at

    playing(scene)


def test_workers_who_come_back_to_a_smaller_and_larger_pool_get_work() -> None:
    async def scene(crew: Crew) -> None:
        for count in (3, 1, 3, 2, 4):
            crew.pool.resize(count)
            names = await asyncio.gather(
                *[crew.pool.do(lambda hand: hand.take(0.02)) for _ in range(4 * count)]
            )
            assert len(set(names)) <= count
        await crew.pool.settled()
        names = await asyncio.gather(*[crew.pool.do(lambda hand: hand.take(0.1)) for _ in range(8)])
        assert set(names) == {f"hand-{number}" for number in range(4)}

    playing(partial(scene), partial(Crew, at_once=2))
