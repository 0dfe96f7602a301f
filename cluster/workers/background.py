"""An event loop on a thread of its own, so that the training loop can stay prose.

All waiting for other processes happens there: a call is answered, a worker replaced, a group
scored, while the main thread computes or blocks on something else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from typing import Any, Never, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
"""What is left for everything to end in once it has failed."""


class Background:
    """Runs coroutines for a thread that has no event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)
        self._thread.start()
        self._failed: Future[Never] = Future()

    def fail(self, error: BaseException) -> None:
        """Nothing that is under way can end well: whoever waits gets this error, now and later."""
        with suppress(InvalidStateError):
            self._failed.set_exception(error)

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin, and return at once; cancelling the future cancels the coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for the result; an interrupt of the waiting cancels the coroutine."""
        future = self.start(coroutine)
        try:
            return self.wait(future)
        finally:
            future.cancel()

    def wait(self, future: Future[T]) -> T:
        """The result of what was begun."""
        either: list[Future[Any]] = [future, self._failed]
        wait(either, return_when=FIRST_COMPLETED)
        if self._failed.done():
            self._failed.result()
        return future.result()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that has to be called on the loop's thread."""

        async def calling() -> T:
            return function(*arguments)

        return self.run(calling())

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Each item as it comes; whoever turns away ends what makes them."""

        going: list[asyncio.Task[Any] | None] = []

        async def following() -> T | None:
            going[:] = [asyncio.current_task()]
            return await anext(items, None)

        async def ending() -> None:
            await asyncio.gather(*filter(None, going), return_exceptions=True)
            await items.aclose()  # refused while the next one is still being made

        try:
            while (item := self.run(following())) is not None:
                yield item
        finally:
            self.run(ending())

    def close(self) -> None:
        """Cancel what still runs and end the thread; what fails by that is no news."""
        limit = PATIENCE_SECONDS if self._failed.done() else None
        self._loop.set_exception_handler(_no_news)
        wait([self.start(_cancel_others())], limit)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(limit)
        if not self._thread.is_alive():  # a call of Ray's may still wait for what is gone
            self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _no_news(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio would print, of tasks whose errors nobody waits for."""
