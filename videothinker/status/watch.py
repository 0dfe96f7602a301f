"""`videothinker status --watch`: the screen again and again, until the run is over or Ctrl-C."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from videothinker.errors import InputError
from videothinker.status.latest_group import latest_group
from videothinker.status.life import Life, life
from videothinker.status.screen import Screen, as_dict, screen
from videothinker.status.snapshot import Snapshot, read_snapshot

SECONDS = 1.0
TAIL = 512 * 1024
"""Bytes of a file's end that one screen can need; a long run's whole file would take seconds."""


def look(run: Path) -> tuple[str, dict[str, Any]]:
    """One screen as text, and the same as data."""
    snapshot, alive = _read(run)
    group = latest_group(snapshot)
    size = Screen(width=shutil.get_terminal_size((80, 24)).columns, plain=_plain())
    return "\n".join(screen(snapshot, alive, group, size)), as_dict(snapshot, alive, group)


def watch(run: Path, as_json: bool = False) -> tuple[str, ...]:
    """Redraw until the run is over, or Ctrl-C; returns what else there is to say.

    What was on the terminal before is there again afterwards.
    """
    if as_json:
        raise InputError("--watch draws a screen and --json prints data: give one of them")
    _read(run)  # what is no run is refused before the terminal is touched
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return ("--watch needs a terminal whose screen can be drawn again; this is one look",)
    with suppress(KeyboardInterrupt):
        _redraw(run)
    return ()


def _redraw(run: Path) -> None:
    # Late: a quarter of a second, which one look would wait for in vain.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    plain = _plain()  # before Live puts a stream of its own in stdout's place
    console = Console(force_terminal=True, force_interactive=True)
    with Live(console=console, screen=True, auto_refresh=False) as drawn:
        while True:
            snapshot, alive = _read(run)
            size = Screen(width=console.width, height=console.height, plain=plain)
            lines = screen(snapshot, alive, latest_group(snapshot), size)
            drawn.update(Text("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
            if alive.over:
                return
            time.sleep(SECONDS)


def _read(run: Path) -> tuple[Snapshot, Life]:
    snapshot = read_snapshot(run, TAIL)
    return snapshot, life(snapshot)


def _plain() -> bool:
    """Whether stdout can only be written ASCII."""
    try:
        "█▁…".encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return True
    return False
