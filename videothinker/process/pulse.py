"""What a process is doing, for whoever asks while it does it; and where its metrics are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from videothinker.config.settings import Device, TlsConfig
from videothinker.process.address import LOOPBACK
from videothinker.process.device import usage
from videothinker.process.metrics import Role, serve
from videothinker.types import SignOfLife, Usage


class Pulse:
    """Base of everything that runs in a process of its own."""

    role: Role
    _device: Device = "cpu"
    _doing: tuple[str, ...] = ()
    _changing = Lock()

    def serve_metrics(self, host: str = LOOPBACK, tls: TlsConfig | None = None) -> tuple[str, int]:
        """Start this process's Prometheus endpoint; returns where it is found."""
        return serve(self.role, host, self._device, self.usage, tls)

    def usage(self) -> Usage:
        """What it has of its device; may be asked on any thread."""
        return usage(self._device)

    def pulse(self) -> SignOfLife:
        """What was begun last, and what that takes; answers on a thread of its own, so it tells a
        busy process from one that hangs.
        """
        doing = self._doing[-1] if self._doing else "idle"
        return SignOfLife(doing=doing, usage=self.usage())

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Say so for as long as the block runs; several threads may do several things."""
        with self._changing:
            self._doing = (*self._doing, what)
        try:
            yield
        finally:
            with self._changing:
                ended = self._doing.index(what)
                self._doing = self._doing[:ended] + self._doing[ended + 1 :]
