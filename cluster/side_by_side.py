"""Commands run as processes, some at a time, each on its share of the cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.orphan import end_with_parent

LOOK_SECONDS = 1.0
END_SECONDS = 60.0
"""What a job is given to stop its own processes when we are interrupted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Arguments for this Python, and the file that takes what they print."""

    name: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A job under way."""

    job: Job
    process: subprocess.Popen[bytes]
    cores: tuple[int, ...]


def run_jobs(jobs: Sequence[Job], at_once: int, look: Callable[[int], None]) -> dict[str, str]:
    """Run them all, whatever becomes of some; returns by name the reason why one failed.

    `look` is called again and again with the number of jobs that have ended.
    """
    left, free, running = list(jobs), shares(at_once), list[Running]()
    failures: dict[str, str] = {}
    try:
        while left or running:
            while left and free:
                running.append(start(left.pop(0), free.pop(0)))
            time.sleep(LOOK_SECONDS)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.cores)
                if one.process.returncode:
                    failures[one.job.name] = reason(one)
            look(len(jobs) - len(left) - len(running))
    finally:
        end(running)
    return failures


def shares(at_once: int) -> list[tuple[int, ...]]:
    """The cores of this machine, dealt out; all of them to each where there are fewer than jobs.

    Nothing is dealt out where a system cannot hold processes to cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    fit = len(cores) >= at_once
    return [tuple(cores[place::at_once] if fit else cores) for place in range(at_once)]


def start(job: Job, cores: tuple[int, ...]) -> Running:
    """In a session of its own, so that Ctrl-C reaches us alone; it ends when we end, however."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *job.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        )
    if cores:
        os.sched_setaffinity(process.pid, cores)
    return Running(job=job, process=process, cores=cores)


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
    """Why a job failed, in a line."""
    lines = one.job.log.read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()] or ["it said nothing"]
    return f"{said[-1]} (exit code {one.process.returncode}; all of it in {one.job.log})"
