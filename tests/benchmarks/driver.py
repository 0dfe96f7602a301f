"""What the driver itself costs: everything real but the engines, which only let time pass.

    python tests/benchmarks/driver.py --out results.json

Whole training steps (`cluster/train.py`) with an anchor and staleness 1: prompts asked for, groups
dispatched, scored, trained, recorded on the disk. Rollout workers and scorers live in this process
and together deliver a fixed number of groups a second; the learner takes no time. The figure is the
processor time of this process less that of making the groups, so the engines' timers are part of
it and Ray's own work is not. Linux only. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from stand_ins import Stage, group, questions

from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    GuardConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    StageConfig,
)

SUPPLY = 2_000
"""Groups a second that all rollout workers together deliver."""
STEP = 1_000
"""Groups of a step."""
WARM_STEPS = 2
WORKERS = (1, 4, 16, 64, 256)
SAMPLES = 8


def config(folder: Path, workers: int, steps: int, questions: int = STEP) -> RunConfig:
    """One stage with an anchor; a scorer for every four rollout workers."""
    stage = StageConfig(
        name="cdpo",
        questions=folder / "questions.parquet",
        steps=steps,
        prompts_per_step=questions,
        kl=KLConfig(direction="repel", anchor="base"),
        guard=GuardConfig(action="off"),
    )
    return RunConfig(
        name="driver",
        out=folder / "run",
        model=ModelConfig(path=folder / "model"),
        data=DataConfig(videos=folder),
        rollout=RolloutConfig(workers=workers, prompts_together=2, max_staleness=1),
        learner=LearnerConfig(save_every=steps + 1),
        cluster=ClusterConfig(device="cpu", scorers=max(1, workers // 4)),
        stages=(stage,),
    )


class Meter:
    """Memory at the end of each step, and the clocks: wall, processor, and each thread's."""

    def __init__(self) -> None:
        self.memory: list[float] = []
        self.loop: int | None = None
        self._clocks: list[tuple[float, ...]] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.memory.append(resident())
        threads = [time.thread_time(), time.clock_gettime(self.loop)] if self.loop else []
        self._clocks.append((time.perf_counter(), time.process_time(), *threads))

    def by_step(self) -> list[list[float]]:
        """Seconds of each step but the first few, for each clock."""
        kept = self._clocks[WARM_STEPS:]
        steps = [np.subtract(after, before) for before, after in itertools.pairwise(kept)]
        return np.transpose(steps).tolist()

    def growth(self) -> float:
        """MiB: the last quarter's memory over that of the second."""
        quarter = len(self.memory) // 4
        early, late = self.memory[quarter : 2 * quarter], self.memory[-quarter:]
        return statistics.median(late) - statistics.median(early)


def measure(workers: int, steps: int, supply: float) -> Meter:
    """Train so many steps with so many rollout workers."""
    meter = Meter()
    with tempfile.TemporaryDirectory() as folder:
        settings = config(Path(folder), workers, steps)
        stage = Stage(
            settings,
            sampling=workers / supply,
            scoring=settings.cluster.scorers / supply,
            credit=0.5,
        )
        meter.loop = time.pthread_getcpuclockid(stage.loop_thread())
        try:
            stage.train(meter)
        finally:
            stage.close()
    gc.collect()
    return meter


def resident() -> float:
    """MiB of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def making_a_group() -> float:
    """Processor seconds that a pretended engine itself needs."""
    [question] = questions(1)
    started = time.process_time()
    for _ in range(5_000):
        group(question, 1, SAMPLES, "rollout-0")
    return (time.process_time() - started) / 5_000


def figures(meter: Meter, made: float) -> dict[str, Any]:
    """Of one number of workers; the spread is that of steps."""
    wall, processor, main, loop = meter.by_step()
    each = [1e6 * (seconds / STEP - made) for seconds in processor]
    return {
        "microseconds_per_group": statistics.median(each),
        "spread": [min(each), max(each)],
        "main_thread": 1e6 * statistics.median(main) / STEP,
        "event_loop": 1e6 * (statistics.median(loop) / STEP - made),
        "groups_per_s": STEP * len(wall) / sum(wall),
        "memory_growth_mib": meter.growth(),
        "memory_mib": max(meter.memory),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="The driver's own cost.")
    parser.add_argument("--steps", type=int, default=20, help="for each number of workers")
    parser.add_argument("--long", type=int, default=60, help="steps with the most workers")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    made = making_a_group()
    by_workers = {}
    for workers in given.workers:
        steps = given.long if workers == max(given.workers) else given.steps
        by_workers[str(workers)] = figures(measure(workers, steps, SUPPLY), made)
        print(f"{workers} workers: {by_workers[str(workers)]}", file=sys.stderr, flush=True)
    most = by_workers[str(max(given.workers))]
    result = {
        "microseconds_per_group": most["microseconds_per_group"],
        "groups_per_s": most["groups_per_s"],
        "supply_groups_per_s": SUPPLY,
        "by_workers": by_workers,
    }
    text = json.dumps(result)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
