"""Where the driver's own limit lies: more rollout workers, ranks and questions, and losses.

    python tests/benchmarks/scale.py --figures docs/pictures/scale.json
    python tests/benchmarks/scale.py --draw docs/pictures/scale.json    # scale.svg beside it

As `driver.py`: everything real but the engines, which deliver far more groups a second than the
driver can take, so that what it takes is its limit. Each point in a process of its own, because of
its memory. Losses are those of LOST_AN_HOUR with the time compressed COMPRESSED times: half of them
die, and half fall silent; a hundredth of the units takes STRAGGLING times as long. Progress goes to
stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from counting import memory
from driver import config
from ray.exceptions import ActorDiedError
from scale_picture import QUESTIONS, WORKERS, picture
from stand_ins import Pacing, Sampler, Stage

from videothinker.config.settings import FaultsConfig
from videothinker.types import RolloutGroup, SignOfLife

SUPPLY = 20_000
"""Groups a second that all workers together could deliver."""
RANKS = 64
STEP, STEPS = 2_048, 3
LOST_AN_HOUR, COMPRESSED = 0.01, 360
STRAGGLING = 50
HEARTBEAT, SILENT = 1.0, 5.0
"""Seconds; a fifth and a twelfth of the usual, or a run of losses would take an hour."""


class Lateness:
    """How long the event loop lets a timer wait that has come due, sampled ten times a second."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def watch(self) -> None:
        while True:
            due = time.monotonic() + 0.1
            await asyncio.sleep(0.1)
            self.seconds.append(time.monotonic() - due)


class Fates:
    """Who is lost, when, and when the driver starts another in its place."""

    def __init__(self) -> None:
        self.dice = random.Random(1)
        self.living: dict[str, Frail] = {}
        self.struck: dict[str, tuple[float, str]] = {}
        self.noticed: dict[str, list[float]] = {"died": [], "silent": []}

    def born(self, engine: Frail) -> None:
        self.living[engine.name] = engine
        if engine.name in self.struck:
            moment, how = self.struck.pop(engine.name)
            self.noticed[how].append(time.monotonic() - moment)

    async def strike(self, every: float) -> None:
        for how in ("died", "silent") * 10_000:
            await asyncio.sleep(every)
            name = self.dice.choice([one for one in self.living if one not in self.struck])
            self.struck[name] = time.monotonic(), how
            self.living[name].gone.set_result(how)


class Frail(Sampler):
    """A rollout worker that may die or fall silent, and now and then is slow."""

    def __init__(self, name: str, pacing: Pacing, fates: Fates) -> None:
        super().__init__(name, pacing)
        self.name, self._fates, self._slow = name, fates, pacing
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        fates.born(self)

    async def pulse(self) -> SignOfLife:
        await self._unless_gone(asyncio.sleep(0))
        return await super().pulse()

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        if self._fates.dice.random() < 0.01:
            await self._unless_gone(asyncio.sleep(STRAGGLING * self._slow.seconds))
        coming = super().generate(*arguments)
        while True:
            try:
                yield await self._unless_gone(anext(coming))
            except StopAsyncIteration:
                return

    async def _unless_gone(self, work: Any) -> Any:
        working = asyncio.ensure_future(work)
        await asyncio.wait({working, self.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not self.gone.done():
            return working.result()
        working.cancel()
        if self.gone.result() == "silent":
            await asyncio.get_running_loop().create_future()
        raise ActorDiedError


def measure(workers: int, questions: int, steps: int, samples: int, losses: bool) -> dict[str, Any]:
    """Train so many steps with so many of all."""
    late, fates, clocks = Lateness(), Fates(), list[tuple[float, float]]()
    pacing = workers / SUPPLY
    every = 3600 / (LOST_AN_HOUR * workers * COMPRESSED)
    with tempfile.TemporaryDirectory() as folder:
        settings = config(Path(folder), workers, steps, questions)
        changes: dict[str, Any] = {
            "sampling": settings.sampling.model_copy(update={"group_size": samples}),
            "learner": settings.learner.model_copy(update={"ranks": RANKS}),
        }
        if losses:
            changes["faults"] = FaultsConfig(
                heartbeat_seconds=HEARTBEAT, silent_seconds=SILENT, backoff_seconds=0.0
            )
        engines = (
            {"rollout": lambda name: Frail(name, Pacing(pacing, 0.5), fates)} if losses else {}
        )
        stage = Stage(
            settings.model_copy(update=changes),
            sampling=pacing,
            scoring=settings.cluster.scorers / SUPPLY,
            credit=0.5,
            **engines,
        )
        watching = [stage.background.start(late.watch())]
        if losses:
            watching.append(stage.background.start(fates.strike(every)))
        try:
            # told once before the first step, when everybody has been asked to begin
            stage.train(lambda *_: clocks.append((time.perf_counter(), time.process_time())))
        finally:
            stage.close()
    seconds, used = (last - first for first, last in zip(clocks[0], clocks[-1], strict=True))
    found = {
        "groups_per_s": steps * questions / seconds,
        "microseconds_per_group": 1e6 * used / (steps * questions),
        "memory_mib": memory("VmHWM"),
        "late_ms": 1000 * statistics.median(late.seconds),
        "latest_ms": 1000 * max(late.seconds),
    }
    if losses:
        found |= {
            how: {"count": len(those), "median": statistics.median(those), "most": max(those)}
            for how, those in fates.noticed.items()
            if those
        }
    return found


def everything() -> dict[str, Any]:
    """Every point, each in its process."""
    found: dict[str, Any] = {"workers": {}, "questions": {}}
    for workers in WORKERS:
        found["workers"][workers] = point(workers, STEP, STEPS, 8)
    for questions in QUESTIONS:
        found["questions"][questions] = point(max(WORKERS), questions, 1, 2)
    found["losses"] = point(max(WORKERS), STEP, 2 * STEPS, 8, losses=True)
    return found


def point(workers: int, questions: int, steps: int, samples: int, **how: bool) -> dict[str, Any]:
    """One measurement."""
    arguments = {"workers": workers, "questions": questions, "steps": steps, "samples": samples}
    words = [sys.executable, __file__, "--point", json.dumps({**arguments, "losses": False, **how})]
    finished = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(finished.stdout)
    print(f"{arguments}: {found}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure or draw."""
    parser = argparse.ArgumentParser(description="The driver's limits.")
    parser.add_argument("--figures", type=Path, help="also write the JSON here")
    parser.add_argument("--draw", type=Path, metavar="FIGURES")
    parser.add_argument("--point", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        print(json.dumps(measure(**given.point)))
    elif given.draw:
        given.draw.with_suffix(".svg").write_text(picture(json.loads(given.draw.read_text())))
    else:
        text = json.dumps(everything())
        print(text)
        if given.figures:
            given.figures.write_text(text + "\n")


if __name__ == "__main__":
    main()
