"""Waiting for a process: each wait ends, with what was waited for or with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from ray.exceptions import ActorUnschedulableError, ObjectLostError
from stand_ins import Engine, Here

from cluster.workers.process import last_line
from videothinker.config.settings import FaultsConfig
from videothinker.errors import InputLost, Lost
from videothinker.types import SignOfLife

FAULTS = FaultsConfig(heartbeat_seconds=0.02, silent_seconds=0.4)


class Slow(Engine):
    """Answers, or does not."""

    silent = False
    doing = "step 3, group 2 of 4"

    async def pulse(self) -> SignOfLife:
        if self.silent:
            await asyncio.sleep(60)
        return await super().pulse()

    async def take(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async def items(self, *seconds: float) -> AsyncIterator[int]:
        for number, pause in enumerate(seconds):
            await asyncio.sleep(pause)
            yield number

    async def unschedulable(self) -> None:
        raise ActorUnschedulableError("the node does not exist")

    async def with_lost_input(self) -> None:
        raise ObjectLostError("ref", None, "call site")  # type: ignore[arg-type]


def playing(scene: Callable[[Here, Slow], Awaitable[None]]) -> None:
    async def play() -> None:
        engine = Slow()
        await asyncio.wait_for(scene(Here("learner-1", engine), engine), 10)

    asyncio.run(play())


def test_an_answer_that_is_late_names_process_call_limit_and_what_it_was_doing() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        watching = asyncio.create_task(process.watch(FAULTS))
        await asyncio.sleep(0.05)
        with pytest.raises(Lost) as lost:
            await process.call("step 3 from weights version 7", 0.1, "take", 60)
        assert str(lost.value) == (
            "learner-1, step 3 from weights version 7: no answer within 0.1 s; "
            "it was last heard of step 3, group 2 of 4"
        )
        with pytest.raises(Lost):
            await watching

    playing(scene)


def test_all_that_waits_for_a_silent_process_ends_with_the_call_it_waits_for() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        calls = [process.call(f"call {number}", 60, "take", 60) for number in range(3)]
        waiting = asyncio.gather(process.watch(FAULTS), *calls, return_exceptions=True)
        await asyncio.sleep(0.05)
        engine.silent = True
        ends = await waiting
        assert all(isinstance(end, Lost) for end in ends)
        assert str(ends[2]).startswith("learner-1, call 1: no sign of life within 0.4 s")

    playing(scene)


def test_a_stream_has_its_limit_for_each_item() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        items = process.stream("sampling", 0.4, "items", 0.2, 0.2, 0.2, 60)
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(Lost, match=r"sampling: no answer within 0\.4 s"):
            await anext(items)

    playing(scene)


def test_a_stream_ends_where_its_items_end() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        assert [item async for item in process.stream("sampling", 1, "items", 0, 0)] == [0, 1]

    playing(scene)


def test_who_stops_waiting_does_not_take_the_process_for_lost() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        waiting = asyncio.create_task(process.call("a call", 60, "take", 60))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await process.call("another", 60, "take", 0) == "done"

    playing(scene)


def test_a_call_whose_limit_is_not_reached_leaves_no_timer_behind() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        assert await process.call("a call", 0.05, "take", 0) == "done"
        await asyncio.sleep(0.1)
        assert await process.call("a call", 0.05, "take", 0) == "done"

    playing(scene)


def test_what_was_lost_with_another_machine_does_not_cost_this_process() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        with pytest.raises(InputLost, match="learner-1, a call: "):
            await process.call("a call", 60, "with_lost_input")
        assert await process.call("another", 60, "take", 0) == "done"

    playing(scene)


def test_a_process_whose_machine_was_lost_before_it_came_up_is_lost() -> None:
    async def scene(process: Here, engine: Slow) -> None:
        with pytest.raises(Lost, match=r"starting: the process died \(.*the node does not exist"):
            await process.call("starting", 60, "unschedulable")

    playing(scene)


def test_the_reason_is_what_pydantic_says_and_not_where_to_read_about_it() -> None:
    error = RuntimeError(
        "1 error\n  max_model_len is too large\n    For further information visit X"
    )
    assert last_line(error) == "max_model_len is too large"
