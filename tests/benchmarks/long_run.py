"""What looking at a run costs as it gets longer: each in a process of its own, its processor
seconds and memory.

    python tests/benchmarks/long_run.py [--steps 500 5000 50000]

The runs are made up (`tests/long_runs.py`). Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from counting import memory

STEPS = (500, 5_000, 50_000)


def looks() -> dict[str, Callable[[Path], object]]:
    """By name, what is done to a run's folder."""
    from videothinker.config.settings import StageConfig
    from videothinker.files import each_line
    from videothinker.method.guard import StageGuard
    from videothinker.report.page import write_report
    from videothinker.run.directory import RunDirectory
    from videothinker.run.trying import newest
    from videothinker.status.watch import look

    stage = StageConfig(name="cdpo", questions=Path("none"), steps=10**6, kl={"direction": "none"})

    def resume(run: Path) -> None:
        directory = RunDirectory.open(run)
        directory.forget_after("cdpo", directory.status()["step"] - 10)
        StageGuard.replay(stage, each_line(run / "metrics.jsonl"))

    return {
        "status": look,
        "resume": resume,
        "report": write_report,
        "reward try": lambda run: list(newest(run, 5)),
    }


def cost(name: str, run: Path) -> dict[str, float]:
    """Of one of them, the first time in a process; libraries are loaded before."""
    work = looks()[name]
    before, started = memory("VmRSS"), time.process_time()
    work(run)
    took = time.process_time() - started
    return {"seconds": took, "memory_mib": memory("VmHWM") - before}


def measured(steps: int) -> dict[str, Any]:
    """All of them, of a run of so many steps."""
    from long_runs import long_run

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        long_run(run, steps)
        for name in looks():
            command = [sys.executable, __file__, "--look", name, "--run", str(run)]
            finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[name] = json.loads(finished.stdout)
            note(f"{steps} steps, {name}: {found[name]}")
        found["page_kib"] = (run / "report.html").stat().st_size / 1024
    return found


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description="What looking at a long run costs.")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--look", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        print(json.dumps(cost(given.look, given.run)))
        return
    print(json.dumps({str(steps): measured(steps) for steps in given.steps}))


if __name__ == "__main__":
    main()
