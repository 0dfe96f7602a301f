"""Who waits for whom."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.workers.fleet import Loader
from cluster.workers.occupancy import observe, shares, waits_for
from cluster.workers.pool import Occupancy, Pool
from videothinker.config.settings import FaultsConfig
from videothinker.process.metrics import ROLE_SECONDS


def idle(count: int) -> Occupancy:
    return Occupancy(wanted=count, present=count, busy=0)


def busy(count: int) -> Occupancy:
    return Occupancy(wanted=count, present=count, busy=count)


@pytest.mark.parametrize(
    ("role", "holding_up", "awaited"),
    [
        ("loader", {"learner"}, "learner"),
        ("rollout", {"loader", "learner"}, "loader"),
        ("rollout", {"anchor", "learner"}, "learner"),
        ("anchor", {"rollout", "loader"}, "rollout"),
        ("anchor", {"loader"}, "loader"),
        ("learner", {"anchor", "rollout"}, "anchor"),
        ("learner", {"rollout"}, "rollout"),
        ("learner", set(), "driver"),
    ],
)
def test_an_idle_role_waits_for_the_nearest_before_it_that_works(
    role: str, holding_up: set[str], awaited: str
) -> None:
    assert waits_for(role, holding_up) == awaited


def test_the_states_of_a_role_add_up_to_all_of_its_workers() -> None:
    found = shares(
        {
            "loader": busy(1),
            "rollout": Occupancy(wanted=4, present=3, busy=1),
            "anchor": idle(0),
            "learner": idle(2),
        }
    )
    assert found == {
        ("loader", "busy"): 1,
        ("rollout", "busy"): 0.25,
        ("rollout", "starting"): 0.25,
        ("rollout", "waiting for loader"): 0.5,
        ("learner", "waiting for rollout"): 1,
    }


def test_nobody_waits_for_prompts_that_are_made_in_advance() -> None:
    ahead = Occupancy(wanted=1, present=1, busy=1, awaited=False)
    found = shares({"loader": ahead, "rollout": idle(1), "learner": busy(1)})
    assert found == {
        ("loader", "busy"): 1,
        ("rollout", "waiting for learner"): 1,
        ("learner", "busy"): 1,
    }


class Sleeper:
    """A worker that nothing happens to."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def watch(self, faults: FaultsConfig) -> None:
        await asyncio.Event().wait()

    def give_up(self, reason: str) -> None:
        pass


async def start(name: str) -> Sleeper:
    return Sleeper(name)


async def opened(count: int) -> Pool:
    pool = Pool("rollout", start, FaultsConfig(), lambda _: None)
    pool.resize(count)
    await asyncio.sleep(0.01)
    return pool


def test_a_pool_counts_who_works_and_who_takes_new_weights() -> None:
    async def scene() -> list[Occupancy]:
        pool, seen = await opened(3), []
        updated, done = asyncio.Event(), asyncio.Event()
        pool.require(lambda _: updated.wait())
        job = asyncio.create_task(pool.do(lambda _: done.wait()))
        await asyncio.sleep(0.01)
        seen.append(pool.occupancy())
        updated.set()
        await asyncio.sleep(0.01)
        seen.append(pool.occupancy())
        done.set()
        await job
        await asyncio.sleep(0.01)
        seen.append(pool.occupancy())
        await pool.close()
        return seen

    updating, working, resting = asyncio.run(scene())
    assert updating == Occupancy(wanted=3, present=3, busy=3)
    assert working == Occupancy(wanted=3, present=3, busy=1)
    assert resting == idle(3)


def test_prompts_are_awaited_only_inside_the_block() -> None:
    loader = Loader([], FaultsConfig())
    assert not loader.occupancy().awaited
    with loader.awaited():
        assert loader.occupancy().awaited
    assert not loader.occupancy().awaited


def seconds(role: str, state: str) -> float:
    return ROLE_SECONDS.labels(role, state)._value.get()


def test_observing_counts_the_time_that_passes_by_role_and_state(tmp_path: Path) -> None:
    told = [("rollout", "busy"), ("learner", "waiting for rollout")]
    before = [seconds(*state) for state in told]

    async def scene() -> float:
        role = SimpleNamespace(occupancy=lambda: idle(1))
        works = SimpleNamespace(occupancy=lambda: busy(1))
        nobody = SimpleNamespace(pool=SimpleNamespace(occupancy=lambda: idle(0)))
        fleet = SimpleNamespace(
            loader=role, rollouts=SimpleNamespace(pool=works), anchor=nobody, learner=role
        )
        started = time.monotonic()
        task = asyncio.create_task(observe(fleet))  # type: ignore[arg-type]
        await asyncio.sleep(0.7)
        task.cancel()
        return time.monotonic() - started

    passed = asyncio.run(scene())
    for state, start_value in zip(told, before, strict=True):
        assert passed - 0.5 < seconds(*state) - start_value <= passed
