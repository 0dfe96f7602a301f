"""The size of Ray's object store, and what is told of a full one."""

from __future__ import annotations

import asyncio
import logging

import grpc
import pytest

from cluster.start.store import spilled_bytes, store_bytes, watch_spill
from videothinker.process.metrics import SPILLED


def test_ray_is_told_how_large_its_store_is_where_the_machine_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cluster.start.store.memory_here", lambda: 10.0)
    assert store_bytes(2.5) == 2_500_000_000
    assert store_bytes(3.1) is None
    assert store_bytes(None) is None


def test_a_store_that_writes_to_disk_is_counted_and_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = iter([0, None, 7_000_000, 9_000_000])
    monkeypatch.setattr("cluster.start.store.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("cluster.start.store.spilled_bytes", lambda: next(looks))

    async def scene() -> None:
        watching = asyncio.create_task(watch_spill())
        while SPILLED._value.get() < 9_000_000:
            await asyncio.sleep(0)
        watching.cancel()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scene())
    SPILLED.set(0)
    [record] = caplog.records
    assert "7 MB so far" in record.getMessage()


def test_a_ray_that_does_not_say_what_it_spilled_ends_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(*_: object, **__: object) -> None:
        raise grpc.RpcError("deadline exceeded")

    node = {"Alive": True, "NodeManagerAddress": "127.0.0.1", "NodeManagerPort": 1}
    monkeypatch.setattr("cluster.start.store.ray.nodes", lambda: [node])
    monkeypatch.setattr("cluster.start.store.get_memory_info_reply", silent)
    assert spilled_bytes() is None
