"""An event loop on a thread of its own, so that the training loop can stay prose.

All waiting for other processes happens there: a call is answered, a worker replaced, a group
scored, while the main thread computes or blocks on something else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines for a thread that has no event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin, and return at once; cancelling the future cancels the coroutine."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for the result; an interrupt of the waiting cancels the coroutine."""
        future = self.start(coroutine)
        try:
            return future.result()
        finally:
            future.cancel()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that has to be called on the loop's thread."""

        async def calling() -> T:
            return function(*arguments)

        return self.run(calling())

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Each item as it comes; whoever turns away ends what makes them."""

        async def following() -> T | None:
            return await anext(items, None)

        try:
            while (item := self.run(following())) is not None:
                yield item
        finally:
            self.run(items.aclose())

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
