"""New weights from the learner's process to an engine's, against a copy in memory.

    python tests/benchmarks/sync.py [--megabytes 500] [--rounds 7]

All of the way but the two ends that belong to others: the optimizer, and vLLM's replacing of its
parameters, for which a copy into tensors stands. Both processes are Ray actors, as in a run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do

import torch

from cluster.start.launch import ray_running
from videothinker.config.settings import ClusterConfig
from videothinker.model.parts import as_part, divided, tensors_in
from videothinker.types import WeightsPart

ROWS = 2048


class Publisher:
    """A learner rank that has only weights."""

    def __init__(self, megabytes: int) -> None:
        torch.set_num_threads(1)
        count = max(1, megabytes * 10**6 // (4 * ROWS**2))
        self._tensors = {f"layer.{n}": torch.randn(ROWS, ROWS) for n in range(count)}
        self._copy = torch.empty(count, ROWS, ROWS)

    def memcpy(self) -> tuple[int, float]:
        """Bytes, and the seconds of copying them."""
        started = time.perf_counter()
        for place, tensor in zip(self._copy, self._tensors.values(), strict=True):
            place.copy_(tensor)
        return 4 * self._copy.numel(), time.perf_counter() - started

    def parts(self) -> int:
        """In how many parts the weights are published."""
        self._parts = divided({name: t.nbytes for name, t in self._tensors.items()})
        return len(self._parts)

    def publish(self, number: int) -> tuple[float, WeightsPart]:
        """As LearnerRank does."""
        started = time.perf_counter()
        part = as_part(1, [(name, self._tensors[name]) for name in self._parts[number]])
        return time.perf_counter() - started, part


class Receiver:
    """An engine that has only weights."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._tensors: dict[str, torch.Tensor] = {}

    def load(self, *parts: WeightsPart) -> dict[str, float]:
        """Check every tensor, then copy all."""
        started = time.perf_counter()
        tensors = dict(chain.from_iterable(tensors_in(part, 1) for part in parts))
        checked = time.perf_counter()
        for name, tensor in tensors.items():
            self._tensors.setdefault(name, torch.empty_like(tensor)).copy_(tensor)
        return {"check": checked - started, "copy": time.perf_counter() - checked}


def measure(megabytes: int, rounds: int) -> dict[str, Any]:
    """Medians over the rounds; each has a copy in memory beside it."""
    import ray  # after our packages, which say that it asks for a token

    publisher = ray.remote(num_cpus=0)(Publisher).remote(megabytes)
    receiver = ray.remote(num_cpus=0)(Receiver).remote()
    count = ray.get(publisher.parts.remote())
    seconds: list[dict[str, float]] = []
    for number in range(rounds + 1):
        size, memcpy = ray.get(publisher.memcpy.remote())
        started = time.perf_counter()
        publish = publisher.publish.options(num_returns=2)
        sums, parts = zip(*(publish.remote(part) for part in range(count)), strict=True)
        published = sum(ray.get(list(sums)))
        loaded = ray.get(receiver.load.remote(*parts))
        total = time.perf_counter() - started
        if number:  # the first touches memory that nobody had before
            store = total - published - sum(loaded.values())
            line = {"memcpy": memcpy, "total": total, "sum": published, **loaded, "store": store}
            seconds.append(line)
            sys.stderr.write(f"{json.dumps({k: round(v, 3) for k, v in line.items()})}\n")
    middle = {name: statistics.median(line[name] for line in seconds) for name in seconds[0]}
    fractions = [line["memcpy"] / line["total"] for line in seconds]
    return {
        "bytes": size,
        "seconds": middle,
        "bytes_per_second": size / middle["total"],
        "fraction_of_memcpy": statistics.median(fractions),
        "fraction_least_and_most": [min(fractions), max(fractions)],
    }


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    # as large as a run's own (videothinker/planning/memory.py)
    with ray_running(ClusterConfig(device="cpu"), 4 * arguments.megabytes / 1000):
        print(json.dumps(measure(arguments.megabytes, arguments.rounds)))


if __name__ == "__main__":
    main()
