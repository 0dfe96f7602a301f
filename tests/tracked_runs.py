"""A run's folder as a driver leaves it, for tests of what trackers are told of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videothinker.run.directory import RunDirectory

CONFIG = "name: trial\nseed: 42\nkl: {coefficient: 0.01}\nstages: [{name: bias, steps: 4}]\n"


def new_run(folder: Path) -> RunDirectory:
    return RunDirectory.create(folder / "run", CONFIG)


def steps(run: RunDirectory, stage: str, numbers: Sequence[int], scale: float = 8) -> None:
    """Some of a stage's, each with a reward of its number by the scale."""
    for step in numbers:
        roles = {"learner": {"memory_gb": 1.5}}
        run.record({"stage": stage, "step": step, "reward": step / scale, "roles": roles})


def models(run: RunDirectory, **accuracies: float) -> None:
    """By name, what was found of each."""
    found = [
        {"name": name, "evaluation": {"overall": {"mean": mean, "low": None}}}
        for name, mean in accuracies.items()
    ]
    run.summary({"models": found})


def told(run: RunDirectory, tracker: str) -> dict[str, Any]:
    """What a tracker's process says that it has told; nothing while it has not begun."""
    file = run.path / "trackers" / f"{tracker}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def wait_until_told(run: RunDirectory, tracker: str, stage: str, step: int) -> None:
    deadline = time.monotonic() + 120
    while told(run, tracker).get("steps", {}).get(stage, [0])[0] < step:
        log = run.path / "trackers" / f"{tracker}.log"
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
