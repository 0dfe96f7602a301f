"""What more rollout workers cost: processor time of whole training steps, by role.

    python tests/benchmarks/workers.py [--workers 1,2,4] [--rounds 5]

The tiny shape of shapes.py, staleness 0, the same 8 groups a step, shared out over more engines; in
turns, whoever waits is stopped. Two cores cannot show how much faster more machines are. They show
what a worker more adds to the work: processor time of all processes, which waiting does not change.
Linux only. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shapes import CONTESTANTS, Contestant, environment, say

from videothinker import cpu_torch

GROUP = 8


def measure(counts: list[int], rounds: int) -> dict[str, Any]:
    """By number of workers: samples a second, and processor seconds a group, least to most."""
    folder = Path(tempfile.mkdtemp(prefix="videothinker-workers-"))
    turns: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        workload = [sys.executable, CONTESTANTS / "workload.py", folder, "tiny"]
        subprocess.run(workload, check=True, env=environment(1))
        contestants = {}
        for count in counts:
            say(f"loading {count} workers")
            command = [sys.executable, CONTESTANTS / "ours.py", folder, "0", str(count)]
            contestants[count] = Contestant(f"ours-{count}", command, None, folder / f"{count}.log")
            ending.callback(contestants[count].end)
            contestants[count].ready()
            contestants[count].rest()
        for number in range(rounds + 1):  # the first decodes videos and is not counted
            for count, contestant in contestants.items():
                found = turn(contestant)
                say(f"round {number}, {count} workers: {found}")
                turns[count] += [found] if number else []
    return {
        str(count): {name: spread([turn[name] for turn in some]) for name in some[0]}
        for count, some in turns.items()
    }


def turn(contestant: Contestant) -> dict[str, float]:
    """One stage: samples a second, and processor seconds a group of each kind of process."""
    before = contestant.processor_seconds()
    found = contestant.turn()
    after = contestant.processor_seconds()
    contestant.ready()
    contestant.rest()
    groups = found["samples"] / GROUP
    used: Counter[str] = Counter()
    for name, pid in after:  # whoever ended meanwhile had nothing to do
        took = (after[name, pid] - before.get((name, pid), 0.0)) / groups
        used.update({name: took, "all": took})
    return {"samples_per_s": found["samples"] / found["seconds"], **used}


def spread(values: list[float]) -> list[float]:
    """Median, least, most."""
    return [statistics.median(values), min(values), max(values)]


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cpu_torch.install()
    print(json.dumps(measure([int(n) for n in arguments.workers.split(",")], arguments.rounds)))


if __name__ == "__main__":
    main()
