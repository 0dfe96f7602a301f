"""`videothinker ...` as a user starts it, and what is left of it afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

MARK = "VIDEOTHINKER_TEST_MARK"


def heed_ctrl_c() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """`videothinker ...` as a user starts it, in a session of its own."""

    def __init__(
        self,
        *arguments: str | Path,
        cache: Path | None = None,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        """`cache` stands for the user's folder of caches, which a test must not fill; `inside` is
        a command that starts this one, and `folder` where it is given."""
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*inside, sys.executable, "-m", "videothinker", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
            env={
                **os.environ,
                MARK: self.mark,
                **({"XDG_CACHE_HOME": str(cache)} if cache else {}),
                **(environment or {}),
            },
            cwd=folder,
        )

    def finish(self, limit: float | None = 400) -> tuple[int, str, str]:
        """Exit code, stdout and stderr; a command that hangs is killed and fails the test."""
        try:
            out, err = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            for pid in self.living():
                os.kill(pid, signal.SIGKILL)
            raise
        return self.process.returncode, out, err

    def living(self) -> list[int]:
        """Every process that this command started and that still runs: of its session, too, since
        Ray's agents write their titles over a part of their environment."""
        return sorted({*living(self.mark), *of_session(self.process.pid)})

    def all_gone(self, limit: float = 20) -> bool:
        """Whether nothing of it is left within the limit."""
        deadline = time.monotonic() + limit
        while self.living() and time.monotonic() < deadline:
            time.sleep(0.2)
        return not self.living()


def living(mark: str) -> list[int]:
    """Every process that runs with this mark in its environment, which children inherit."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended while we looked
            continue
    return found


def of_session(session: int) -> list[int]:
    """Every process of a session but its leader, which whoever started it waits for."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session != int(folder.name) and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def wait_for(condition: Callable[[], bool], command: Command, limit: float = 180) -> None:
    """Until a condition holds while a command runs; what it said where it ends before that."""
    deadline = time.monotonic() + limit
    while not condition():
        if command.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(command.finish(1))
        time.sleep(0.1)
