"""One process of the run, as the driver sees it: each call ends with its result, or with Lost.

Ray tells when a process dies. That one hangs nobody tells, so each is asked for a sign of life
every few seconds, on a thread that its work does not block, and each call has a limit of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)

from videothinker.config.settings import FaultsConfig
from videothinker.errors import InputLost, Lost, VideoThinkerError
from videothinker.types import SignOfLife, Usage

GONE = (RayActorError, OutOfMemoryError, NodeDiedError, ActorUnschedulableError)
"""What Ray says of a process that is no more; the last, of one whose machine it was to start on."""
PYDANTIC_ADDS = "For further information visit"
PULSE = "pulse"
"""Name of the method, and of the thread it runs on."""


class Process:
    """An actor with a name. Everything here runs on the event loop's thread."""

    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self.actor = actor
        self.phase = "starting"
        """What it said last that it was doing."""
        self.usage: Usage | None = None
        """And what it then had of its device."""
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting: set[asyncio.Future[Any]] = set()

    async def call(self, what: str, limit: float, method: str, *arguments: Any) -> Any:
        """The result of a method; `what` names the call to a person."""
        return await self._answer(getattr(self.actor, method).remote(*arguments), what, limit)

    async def divided(
        self, what: str, limit: float, method: str, *arguments: Any
    ) -> tuple[Any, Any]:
        """Of a method with two results the first, and a reference to the second, a large one."""
        calls = getattr(self.actor, method).options(num_returns=2)
        small, large = calls.remote(*arguments)
        return await self._answer(small, what, limit), large

    async def stream(
        self, what: str, limit: float, method: str, *arguments: Any
    ) -> AsyncIterator[Any]:
        """What a generator method yields; the limit counts for each item anew."""
        calls = getattr(self.actor, method).options(num_returns="streaming")
        references = calls.remote(*arguments)
        while True:
            try:
                yield await self._answer(_following(references), what, limit)
            except StopAsyncIteration:
                return

    async def _answer(
        self, awaitable: Any, what: str, limit: float, missed: str = "no answer"
    ) -> Any:
        if self._lost.done():
            raise self._loss(what)
        answer = asyncio.ensure_future(_one(awaitable))
        self._waiting.add(answer)
        late = asyncio.get_running_loop().call_later(
            limit, self.give_up, f"{missed} within {limit:g} s"
        )
        try:
            return await answer
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._lost.done() and task is not None and not task.cancelling():
                raise self._loss(what) from None
            raise
        except ObjectLostError as error:
            raise InputLost(f"{self.name}, {what}: {last_line(error)}") from error
        except RayTaskError as error:
            if isinstance(error.cause, ObjectLostError):
                raise InputLost(f"{self.name}, {what}: {last_line(error)}") from error
            raise (error.cause if isinstance(error.cause, VideoThinkerError) else error) from None
        except GONE as error:
            if isinstance(error, RayActorError) and error.actor_init_failed:
                raise VideoThinkerError(f"{self.name}, {what}: {last_line(error)}") from error
            self.give_up(f"the process died ({last_line(error)})")
            raise self._loss(what) from error
        finally:
            late.cancel()
            self._waiting.discard(answer)
            del answer  # its error would hold this frame, and that all that was asked with

    def _loss(self, what: str) -> Lost:
        return Lost(f"{self.name}, {what}: {self._lost.result()}")

    def tell(self, method: str, *arguments: Any) -> None:
        """On the thread that its work does not block; no answer is waited for."""
        told = getattr(self.actor, method).options(concurrency_group=PULSE).remote(*arguments)
        asyncio.ensure_future(_one(told)).add_done_callback(
            lambda answer: answer.cancelled() or answer.exception()
        )

    async def watch(self, faults: FaultsConfig) -> None:
        """Ask for signs of life until one fails to come, and raise Lost."""
        pulse = getattr(self.actor, PULSE).options(concurrency_group=PULSE)
        while not self._lost.done():
            sign: SignOfLife = await self._answer(
                pulse.remote(), "watched", faults.silent_seconds, "no sign of life"
            )
            self.phase, self.usage = sign.doing, sign.usage
            await asyncio.wait({self._lost}, timeout=faults.heartbeat_seconds)
        raise self._loss("watched")

    def give_up(self, reason: str) -> None:
        """No longer count on it: all that waits for it gets Lost, and it is ended."""
        if not self._lost.done():
            self._lost.set_result(f"{reason}; it was last heard of {self.phase}")
            for answer in self._waiting:
                answer.cancel()
        self.end()

    def end(self) -> None:
        """Kill it: a stopped process, too, ends by that."""
        ray.kill(self.actor)


async def _one(awaitable: Any) -> Any:
    return await awaitable


async def _following(references: AsyncIterator[Any]) -> Any:
    return await (await anext(references))


def last_line(error: BaseException) -> str:
    """Where Ray puts the reason: it quotes the traceback of a process that never came up.

    What it adds after a kill is a list of all that may ever have happened; what pydantic adds to a
    reason is where to read about such.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = [line for line in lines if not line.startswith(PYDANTIC_ADDS)][-1]
    return last.partition(" Worker exit detail:")[0][:300]
