"""Commands run as processes, some at a time, with one thread for each computing process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from videothinker.process.orphan import end_with_parent

LOOK_SECONDS = 1.0
END_SECONDS = 60.0
"""What a command is given to stop its own processes when we are interrupted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """Arguments for this Python, and the file that takes what they print."""

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A command under way."""

    command: Command
    process: subprocess.Popen[bytes]


def run_all(
    commands: Sequence[Command], at_once: int, look: Callable[[int], None]
) -> dict[str, str]:
    """Run them all, whatever becomes of some; returns by name the reason why one failed.

    `look` is called again and again with the number of those that have ended.
    """
    left, running = list(commands), list[Running]()
    failures: dict[str, str] = {}
    try:
        while left or running:
            while left and len(running) < at_once:
                running.append(start(left.pop(0)))
            time.sleep(LOOK_SECONDS)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                if one.process.returncode:
                    failures[one.command.name] = reason(one)
            look(len(commands) - len(left) - len(running))
    finally:
        end(running)
    return failures


def start(command: Command) -> Running:
    """In a session of its own, so that Ctrl-C reaches us alone; it ends when we end, however."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
    return Running(command=command, process=process)


def end(running: Sequence[Running]) -> None:
    """Interrupt what still runs; each stops its own processes."""
    for one in running:
        one.process.terminate()
    for one in running:
        with suppress(subprocess.TimeoutExpired):
            one.process.wait(END_SECONDS)
        if one.process.poll() is None:
            one.process.kill()


def reason(one: Running) -> str:
    """Why a command failed, in a line."""
    lines = one.command.log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()] or ["it said nothing"]
    return f"{said[-1]} (exit code {one.process.returncode}; all of it in {one.command.log})"
