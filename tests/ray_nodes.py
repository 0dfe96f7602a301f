"""Nodes of one Ray, each with processes of its own, and maybe on a machine of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cli_process import MARK, living, of_session

STORE = 200 * 2**20


class Node:
    """A node that runs until its power fails."""

    def __init__(self, *options: str, inside: Sequence[str] = ()) -> None:
        self.mark = uuid.uuid4().hex
        ray_start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        self.process = subprocess.Popen(
            [*inside, *ray_start, "--num-cpus=1", f"--object-store-memory={STORE}", *options],
            env=os.environ | {MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = ""
        while "Ray runtime started" not in said:
            assert self.process.stdout
            line = self.process.stdout.readline()
            said += line
            assert line, said

    def living(self) -> list[int]:
        """Its processes, and those of its session, such as agents, whose mark may be gone."""
        return sorted({*living(self.mark), *of_session(self.process.pid)})

    def lose(self) -> None:
        """As if its power failed."""
        while pids := self.living():  # some are started while others die
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()

    def titled(self, title: str) -> list[int]:
        """Its processes of which that is a part of the title, such as `ray::RolloutWorker`."""
        titles = {pid: Path(f"/proc/{pid}/cmdline") for pid in self.living()}
        return [pid for pid, file in titles.items() if title.encode() in file.read_bytes()]
