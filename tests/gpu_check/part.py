"""What every part of the check begins and ends with."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from videothinker import cpu_torch


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Whether a part is content, with the figures and a sentence to go with them."""

    passed: bool
    said: str
    figures: dict[str, Any]


def answer(work: Callable[[torch.device], Finding]) -> None:
    """Run a part on the device that is asked for, and print what it found as the last line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    device = torch.device(parser.parse_args().device)
    cpu_torch.install()
    found = work(device)
    line = {"passed": found.passed, "said": found.said, "figures": found.figures}
    print(json.dumps(line), flush=True)


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
