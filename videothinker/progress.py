"""One line on stderr that says how far a long job is and how long it will still take."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.cells import cell_len, set_cell_size

TERMINAL_SECONDS = 0.1
LOG_SECONDS = 10.0
WIDTH = 100


class ProgressLine:
    """Callable as progress(done, total, note).

    On a terminal one line is rewritten; elsewhere (a log, a pipe) a new line appears at most every
    ten seconds, so that a file of them stays readable.
    """

    def __init__(
        self,
        label: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._started = self._said = clock()
        self._terminal = self._stream.isatty()
        self._shown = ""
        self._done: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Shows how far it is; `done` counts finished pieces, and the first 0 starts the clock."""
        now = self._clock()
        if done == 0 and self._done != 0:
            self._started = now
        self._done = done
        waited = now - self._said
        if done < total and waited < (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            return
        self._said = now
        line = self._line(done, total, now - self._started, note)
        if self._terminal:
            self._write("\r" + set_cell_size(line, max(cell_len(line), cell_len(self._shown))))
        elif line != self._shown:
            self._write(line + "\n")
        self._shown = line

    def close(self) -> None:
        """Ends the line, so that what follows starts on its own."""
        if self._terminal and self._shown:
            self._write("\n")
            self._shown = ""

    def _line(self, done: int, total: int, seconds: float, note: str) -> str:
        parts = [f"{self._label}: {done}/{total}"]
        if done and seconds > 0:
            rate = done / seconds
            parts.append(f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each")
            if done < total:
                parts.append(f"about {duration((total - done) / rate)} left")
            else:
                parts.append(f"done in {duration(seconds)}")
        if note and done < total:
            parts.append(note if note.isprintable() else repr(note))  # a file's name may not act
        line = ", ".join(parts)
        room = shutil.get_terminal_size().columns - 1 if self._terminal else WIDTH
        return set_cell_size(line, min(cell_len(line), room, WIDTH))

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def duration(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 2 min 5 s, 3 h 10 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
