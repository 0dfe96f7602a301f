"""Commands run as processes, some at a time, with one thread for each computing process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
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


def run_all(
    commands: Sequence[Command], at_once: int, look: Callable[[int], None]
) -> dict[str, str]:
    """Run them all, whatever becomes of some; returns by name the reason why one failed.

    `look` is called again and again with the number of those that have ended.
    """
    left, running = list(commands), dict[subprocess.Popen[bytes], Command]()
    failures: dict[str, str] = {}
    try:
        while left or running:
            while left and len(running) < at_once:
                command = left.pop(0)
                running[start(command)] = command
            time.sleep(LOOK_SECONDS)
            for process in [one for one in running if one.poll() is not None]:
                command = running.pop(process)
                if process.returncode:
                    failures[command.name] = reason(command, process.returncode)
            look(len(commands) - len(left) - len(running))
    finally:
        end(running)
    return failures


def start(command: Command) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches us alone; it ends when we end, however."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, *command.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )


def end(running: Collection[subprocess.Popen[bytes]]) -> None:
    """Interrupt what still runs; each stops its own processes."""
    for process in running:
        process.terminate()
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        if process.poll() is None:
            process.kill()


def reason(command: Command, code: int) -> str:
    """Why a command failed, in a line."""
    lines = command.log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()] or ["it said nothing"]
    return f"{said[-1]} (exit code {code}; all of it in {command.log})"
