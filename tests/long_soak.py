"""A long run that nobody disturbs: does anything grow that should not?

    make soak LONG=1
    python tests/long_soak.py --steps 600 --every 10 --out runs/long

Trains the tiny model and looks every so many seconds at each of its processes and files. Of the
second half it judges whether memory, open files, threads, pauses to collect garbage and speed stay
as they are, within the bounds of BOUNDS. The table goes to stderr, OUT/result.json has every sample
too, and the last line on stdout is the verdict; 1 when something grows.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from attack import CLASSES, SoakError, require_success
from cli_process import Command
from soak import prepared, say

from videothinker import cpu_torch
from videothinker.config.loading import to_yaml
from videothinker.progress import ProgressLine
from videothinker.terminal_text import text_table

MIB = 2**20
PAUSES = Path(__file__).parent / "gc_pauses"
BOUNDS = {
    "rss_mib": (0.02, 8.0),
    "open_files": (0.0, 2.0),
    "threads": (0.0, 2.0),
    "longest_pause_ms": (1.0, 50.0),
    "seconds_a_step": (0.25, 0.0),
}
"""What the line through the second half's samples may rise by from its begin to its end: a share of
the figure there, or so much, whichever is more. Of memory that is what a process has mapped (RSS);
its part of what others have mapped too (PSS) rises whenever one of those ends, this run's or not.
"""
Sample = dict[str, dict[str, float]]
"""By subject, which is a role, `run` or `ray`: its figures at one moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """One figure of one subject, over the second half of the samples."""

    subject: str
    figure: str
    first: float
    """Where the line through them begins."""
    rise: float
    """And how much higher it ends."""
    allowed: float | None
    """None of what is meant to grow, as a file that has a line a step."""

    @property
    def flat(self) -> bool:
        return self.allowed is None or self.rise <= self.allowed


class Looking:
    """At a command that trains: its processes, its folder and Ray's."""

    def __init__(self, command: Command, run: Path, pauses: Path) -> None:
        self._command, self._run, self._pauses = command, run, pauses
        self._ray: Path | None = None
        self._last: tuple[float, int] | None = None

    def sample(self) -> Sample:
        """As it is now; of several processes of a role their sum."""
        found: Sample = defaultdict(lambda: defaultdict(float))
        for pid in self._command.living():
            try:
                process = psutil.Process(pid)
                role = self._role(process)
                figures = self._of(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess, FileNotFoundError):
                continue
            for name, value in figures.items():
                found[role][name] += value
        found["run"].update(self._of_files())
        if self._ray:
            found["ray"]["logs_mib"] = size(self._ray) / MIB
        return {subject: dict(figures) for subject, figures in found.items()}

    @property
    def steps(self) -> int:
        """Done so far."""
        file = self._run / "metrics.jsonl"
        return file.read_bytes().count(b"\n") if file.is_file() else 0

    def _role(self, process: psutil.Process) -> str:
        command = process.cmdline()
        first = command[0] if command else ""
        for role, name in CLASSES.items():
            if first.startswith(f"ray::{name}"):
                return role
        if process.pid == self._command.process.pid:
            return "driver"
        if session := re.search(r"/\S*session_[\d_-]+", " ".join(command)):
            self._ray = Path(session.group())
        return process.name() if "/ray/" in first else "others"

    def _of(self, process: psutil.Process) -> dict[str, float]:
        memory = process.memory_full_info()
        figures = {
            "processes": 1,
            "rss_mib": memory.rss / MIB,
            "pss_mib": memory.pss / MIB,
            "open_files": process.num_fds(),
            "threads": process.num_threads(),
        }
        counted = self._pauses / str(process.pid)
        if counted.is_file() and len(told := counted.read_text().split()) == 3:
            counted.unlink()
            figures |= {"pauses_s": float(told[1]), "longest_pause_ms": 1000 * float(told[2])}
        return figures

    def _of_files(self) -> dict[str, float]:
        now, steps = time.monotonic(), self.steps
        figures: dict[str, float] = {"steps": steps, "mib": size(self._run) / MIB}
        for name in ("metrics", "events"):
            file = self._run / f"{name}.jsonl"
            figures[f"{name}_kib"] = file.stat().st_size / 1024 if file.is_file() else 0.0
        if self._last and steps > self._last[1]:
            figures["seconds_a_step"] = (now - self._last[0]) / (steps - self._last[1])
        self._last = now, steps
        return figures


def size(folder: Path) -> int:
    """Bytes of all files below it; some may go meanwhile."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(where) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def trends(samples: Sequence[Sample]) -> Iterator[Trend]:
    """Of every figure that most samples of the second half have."""
    half = samples[len(samples) // 2 :]
    names = {(subject, name) for one in half for subject, those in one.items() for name in those}
    for subject, name in sorted(names):
        points = [
            (place, one[subject][name])
            for place, one in enumerate(half)
            if name in one.get(subject, {})
        ]
        if len(points) > len(half) / 2 and len(points) > 2:
            places, values = np.transpose(points)
            slope, start = np.polyfit(places, values, 1)
            allowed = None
            if name in BOUNDS:
                share, least = BOUNDS[name]
                allowed = max(share * abs(start), least)
            rise = float(slope) * (len(half) - 1)
            yield Trend(
                subject=subject, figure=name, first=float(start), rise=rise, allowed=allowed
            )


def table(found: Sequence[Trend]) -> str:
    """For people: what is judged, and what is meant to grow."""
    rows = [
        (
            one.subject,
            one.figure,
            f"{one.first:,.4g}",
            f"{one.rise:+,.3g}",
            "" if one.allowed is None else f"{one.allowed:,.3g}",
            "" if one.allowed is None else "flat" if one.flat else "GROWS",
        )
        for one in found
        if one.allowed is not None or one.subject in ("run", "ray")
    ]
    titles = ("what", "figure", "at half time", "rise until the end", "allowed", "")
    return text_table([titles], rows, right=(2, 3, 4))


def watched(config: Path, run: Path, pauses: Path, steps: int, every: float) -> list[Sample]:
    """Train, and what was seen between the first step and the last."""
    environment = {
        "GC_PAUSES": str(pauses),
        "PYTHONPATH": os.pathsep.join([str(PAUSES), os.environ["PYTHONPATH"]]),
    }
    command = Command("train", config, f"out={run}", environment=environment)
    looking, samples = Looking(command, run, pauses), list[Sample]()
    with ThreadPoolExecutor() as hands, ProgressLine("training") as progress:
        end = hands.submit(command.finish, 48 * 3600)
        try:
            while not end.done() and (done := looking.steps) < steps:
                progress(done, steps)
                if done:
                    samples.append(looking.sample())
                time.sleep(every if done else 0.5)
            require_success(end.result())
        finally:
            for pid in command.living():
                os.kill(pid, signal.SIGKILL)
    return samples


def main() -> int:
    """Train, judge, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--every", type=float, default=60.0, help="seconds from look to look")
    parser.add_argument("--out", type=Path, default=Path("runs/long"), help="replaced")
    given = parser.parse_args()
    cpu_torch.install()
    out = given.out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    (out / "pauses").mkdir(parents=True)
    config = out / "config.yaml"
    config.write_text(to_yaml(prepared(out, given.steps)))
    try:
        samples = watched(config, out / "run", out / "pauses", given.steps, given.every)
    except SoakError as error:
        say(f"soak: {error}")
        return 1
    found = list(trends(samples))
    verdict = {
        "steps": given.steps,
        "samples": len(samples),
        "grows": [f"{one.subject} {one.figure}" for one in found if not one.flat],
        "trends": [asdict(one) for one in found],
    }
    (out / "result.json").write_text(json.dumps({**verdict, "each": samples}, indent=1) + "\n")
    say(table(found))
    print(json.dumps(verdict))
    return 1 if verdict["grows"] else 0


if __name__ == "__main__":
    sys.exit(main())
