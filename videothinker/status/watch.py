"""`videothinker status --watch`: the screen again and again, until the run is over or Ctrl-C."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from videothinker.errors import InputError
from videothinker.status.latest_group import latest_group
from videothinker.status.life import Life, life
from videothinker.status.screen import Screen, as_dict, screen
from videothinker.status.snapshot import Snapshot, read_snapshot

SECONDS = 1.0
TAIL = 512 * 1024
"""Bytes of a file's end that one screen can need; a long run's whole file would take seconds."""
OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's second screen without a cursor, and back to what was there before."""
HOME, END_OF_LINE, END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def look(run: Path) -> tuple[str, dict[str, Any]]:
    """One screen as text, and the same as data."""
    snapshot, alive = _read(run)
    group = latest_group(snapshot)
    lines = screen(snapshot, alive, group, _size(sys.stdout, scrolling=True))
    return "\n".join(lines), as_dict(snapshot, alive, group)


def watch(run: Path, as_json: bool = False) -> tuple[str, ...]:
    """Redraw until the run is over, or Ctrl-C; returns what else there is to say.

    What was on the terminal before is there again afterwards.
    """
    if as_json:
        raise InputError("--watch draws a screen and --json prints data: give one of them")
    _read(run)  # what is no run is refused before the terminal is touched
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return ("--watch needs a terminal whose screen can be drawn again; this is one look",)
    with _other_screen(sys.stdout):
        try:
            while not _draw(run, sys.stdout):
                time.sleep(SECONDS)
        except KeyboardInterrupt:
            pass
    return ()


def _read(run: Path) -> tuple[Snapshot, Life]:
    snapshot = read_snapshot(run, TAIL)
    return snapshot, life(snapshot)


def _size(stream: TextIO, scrolling: bool = False) -> Screen:
    """The terminal's own size now; it may change while somebody watches."""
    found = shutil.get_terminal_size((80, 24))
    try:
        "█▁…".encode(stream.encoding or "ascii")
        plain = False
    except (LookupError, UnicodeEncodeError):
        plain = True
    return Screen(width=found.columns, height=None if scrolling else found.lines, plain=plain)


def _draw(run: Path, stream: TextIO) -> bool:
    """One screen over what stands there, line by line, so that nothing flickers; whether it was
    the last.
    """
    snapshot, alive = _read(run)
    lines = screen(snapshot, alive, latest_group(snapshot), _size(stream))
    body = f"{END_OF_LINE}\r\n".join(lines)
    stream.write(f"{HOME}{body}{END_OF_LINE}{END_OF_SCREEN}")
    stream.flush()
    return alive.over


@contextmanager
def _other_screen(stream: TextIO) -> Iterator[None]:
    stream.write(OTHER_SCREEN)
    try:
        yield
    finally:
        stream.write(OWN_SCREEN)
        stream.flush()
