"""Waiting on another thread's event loop: each wait ends, whatever becomes of the rest."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from contextlib import closing
from typing import TypeVar

import pytest

from cluster.workers.background import Background
from videothinker.errors import RayLost

T = TypeVar("T")


def test_who_waits_when_all_fails_gets_the_error_and_so_does_who_comes_later() -> None:
    with closing(Background()) as background:
        threading.Timer(0.05, background.fail, [RayLost("raylet")]).start()
        for _ in range(2):
            with pytest.raises(RayLost, match="raylet"):
                background.run(asyncio.sleep(60))


def test_it_ends_although_a_call_never_does_and_what_comes_of_that_is_no_news(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("cluster.workers.background.PATIENCE_SECONDS", 0.1)
    background, begun, stuck = Background(), threading.Event(), threading.Event()

    async def call() -> None:
        begun.set()
        stuck.wait(60)

    async def late() -> None:
        raise ValueError("the actor is gone")

    async def begin() -> None:
        asyncio.create_task(late())  # noqa: RUF006
        await call()

    background.start(begin())
    assert begun.wait(30)
    background.fail(RayLost("raylet"))
    started = time.monotonic()
    background.close()
    assert time.monotonic() - started < 30
    stuck.set()
    background._thread.join(30)
    gc.collect()
    assert not caplog.records


def test_turning_away_ends_what_makes_the_items_also_in_the_middle_of_one() -> None:
    ended = threading.Event()

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)  # so it does not end at once
            ended.set()

    class Interrupted(Background):
        def wait(self, future: Future[T]) -> T:
            if first.is_set() and not second.is_set():
                second.set()
                time.sleep(0.05)
                raise KeyboardInterrupt
            return super().wait(future)

    first, second = threading.Event(), threading.Event()
    with closing(Interrupted()) as background:
        coming = background.iterate(items())
        next(coming)
        first.set()
        with pytest.raises(KeyboardInterrupt):
            next(coming)
    assert ended.is_set()
