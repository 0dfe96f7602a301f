"""The thread that an engine lives on: it steps as long as requests wait, and hears callers between.

An engine is not made for several threads, but several want something of it: units that are sampled
side by side, and new weights in the middle of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from videothinker.errors import Lost

T = TypeVar("T")
Mail = SimpleQueue[tuple[str, Any] | None]
"""Names and results of finished requests; None when the engine failed."""


class EngineThread:
    """Whatever is called here is executed on the one thread, in the order of the calls."""

    def __init__(
        self,
        step: Callable[[], Iterable[tuple[str, Any]]],
        abort: Callable[[list[str]], None],
        lost: Callable[[], str] = str,
    ) -> None:
        """`step` does a piece of all requests' work and returns the finished ones by name. `lost`
        says why the engine can do nothing more, if so.
        """
        self._step = step
        self._abort = abort
        self._lost = lost
        self._thread = ThreadPoolExecutor(1, "engine")
        self._waiting: dict[str, Mail] = {}
        self._stepping = False
        self._broken = ""

    @property
    def idle(self) -> bool:
        """Whether no request is in the engine. To be asked on the thread."""
        return not self._waiting

    def call(self, work: Callable[[], T]) -> T:
        """Its result; it is executed between two steps."""
        return self._thread.submit(self._while_sound, work).result()

    def finished(self, add: Callable[[], list[str]]) -> Iterator[tuple[int, Any]]:
        """The requests that `add` adds, all before the next step: the number of each among them and
        its result, as soon as it is finished.

        When the engine fails, everybody who waits for it gets Lost, and so does whoever comes
        later. The requests of a caller who turns away are aborted.
        """
        mail: Mail = SimpleQueue()
        names = self.call(partial(self._enter, add, mail))
        left = {name: number for number, name in enumerate(names)}
        try:
            while left:
                letter = mail.get()
                if letter is None:
                    raise Lost(self._broken)
                name, result = letter
                yield left.pop(name), result
        except GeneratorExit:
            self.call(partial(self._leave, list(left)))
            raise

    # on the thread

    def _while_sound(self, work: Callable[[], T]) -> T:
        if self._broken:
            raise Lost(self._broken)
        try:
            return work()
        except Exception as error:
            if reason := self._lost():  # whatever this was, nothing else will work either
                self.fail(reason)
                raise Lost(reason) from error
            raise

    def _enter(self, add: Callable[[], list[str]], mail: Mail) -> list[str]:
        names = add()
        self._waiting.update(dict.fromkeys(names, mail))
        self._step_again()
        return names

    def _leave(self, names: list[str]) -> None:
        left = [name for name in names if self._waiting.pop(name, None)]
        self._abort(left)

    def _step_again(self) -> None:
        if self._waiting and not self._stepping:
            self._stepping = True
            self._thread.submit(self._turn).add_done_callback(self._turned)

    def _turn(self) -> None:
        if not self._waiting:  # all of them turned away, or were sent away
            return
        for name, result in self._step():
            self._waiting.pop(name).put((name, result))

    def _turned(self, turn: Future[None]) -> None:
        self._stepping = False
        error = turn.exception()
        if error is None:
            self._step_again()
            return
        why = self._lost() or f"{type(error).__name__}: {error}"
        self.fail(f"the engine failed: {why}")

    def fail(self, reason: str) -> None:
        """It cannot be trusted any more: whoever waits for it, or asks later, gets Lost."""
        self._broken = reason
        for mail in set(self._waiting.values()):
            mail.put(None)
        self._waiting.clear()
