from __future__ import annotations

import asyncio

import pytest
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayError

from cluster.workers.process import Process
from videothinker.errors import Lost


class Method:
    """Of an actor; every call ends with one error."""

    def __init__(self, error: RayError) -> None:
        self._error = error

    async def remote(self) -> None:
        raise self._error


class Actor:
    def __init__(self, error: RayError) -> None:
        self.work = Method(error)


class Recorded(Process):
    """Remembers that it was ended; there is no process."""

    ended = False

    def end(self) -> None:
        self.ended = True


@pytest.mark.parametrize(
    "error",
    [
        RayActorError(None, "it was killed"),
        OutOfMemoryError("it was killed, because memory ran low"),
        NodeDiedError("it was killed with its node"),
    ],
)
def test_a_process_is_lost_however_ray_says_so(error: RayError) -> None:
    async def scene() -> None:
        process = Recorded("rollout-0", Actor(error))
        with pytest.raises(Lost, match=r"rollout-0, sampling: the process died .*it was killed"):
            await process.call("sampling", 10, "work")
        assert process.ended

    asyncio.run(scene())
