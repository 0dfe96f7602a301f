"""What a process is doing, for whoever asks while it does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Pulse:
    """Base of everything that runs in a process of its own."""

    _doing = "idle"

    def pulse(self) -> str:
        """Answers on a thread of its own, so it tells a busy process from one that hangs."""
        return self._doing

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say so for as long as the block runs."""
        before, self._doing = self._doing, what
        try:
            yield
        finally:
            self._doing = before
