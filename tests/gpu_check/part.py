"""What every part of the check begins and ends with."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from videothinker import cpu_torch


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether a part is content: its figure in a few words beside its goal, and all figures."""

    passed: bool
    said: str
    goal: str
    figures: dict[str, Any]


def answer(work: Callable[[torch.device, Path], Finding]) -> None:
    """Run a part on the device that is asked for, and print what it found as the last line.

    What it leaves in its folder is there for the parts after it.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    cpu_torch.install()
    with TemporaryDirectory() as own:
        found = work(torch.device(asked.device), asked.folder or Path(own))
    print(json.dumps(asdict(found)), flush=True)


def seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Of one round, the fastest; the first warms up."""
    took = []
    for _ in range(rounds + 1):
        settle(device)
        started = time.perf_counter()
        work()
        settle(device)
        took.append(time.perf_counter() - started)
    return min(took[1:])


def settle(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
