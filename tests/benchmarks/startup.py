"""What a start costs, by part: each in a fresh process, then a whole run to its first step.

    python tests/benchmarks/startup.py [--rounds 3]

Seconds of wall and of processor time, medians. Nothing is downloaded or installed: the environment
is there, and files have been read before. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do

from videothinker import cpu_torch

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = Path(__file__).resolve().parent / "contestants" / "workload.py"
PARTS = {
    "driver, imported": "import cluster.train",
    "Ray, started and stopped": """
from cluster.start.launch import ray_running
from videothinker.config.settings import ClusterConfig
with ray_running(ClusterConfig(device="cpu")):
    pass
""",
    "loader, with its processor": """
from videothinker.model.processing import PromptBuilder
PromptBuilder(model, model, None)
""",
    "anchor, with its model": """
from actors.anchor import AnchorScorer
AnchorScorer("float32", 1.0, "cpu").load(model)
""",
    "learner, with its model": """
from learner.rank import LearnerRank
from learner.deepspeed_engine import Trainee
from videothinker.config.settings import LearnerConfig
rank = LearnerRank("cpu")
rank.connect(0, 1, *rank.meeting_point())
Trainee(model, "float32", LearnerConfig())
""",
    "engine, imported": """
from videothinker import cpu_torch
cpu_torch.install()
import actors.vllm_engine, vllm.entrypoints.llm
""",
    "engine, with its model": """
from actors.vllm_engine import VllmEngine
from videothinker.config.settings import RolloutConfig
VllmEngine(model, "float32", RolloutConfig(max_model_len=512, cache_gb=0.25), "cpu")
""",
}
BEFORE = "import sys\nfrom pathlib import Path\nmodel = Path(sys.argv[1])\n"
RUN = "a run of one step, from the command to its end"


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Every part in every round."""
    commands = {
        name: [sys.executable, "-c", BEFORE + code, str(folder / "model")]
        for name, code in PARTS.items()
    }
    took: dict[str, list[tuple[float, float]]] = {}
    for number in range(1, rounds + 1):
        for name, command in commands.items():
            took.setdefault(name, []).append(seconds(command))
            note(f"round {number} of {rounds}: {name}, {took[name][-1][0]:.1f} s")
        took.setdefault(RUN, []).append(seconds(run_of_one_step(folder, number)))
        note(f"round {number} of {rounds}: {RUN}, {took[RUN][-1][0]:.1f} s")
    return {
        name: {
            "seconds": statistics.median(wall for wall, _ in times),
            "processor_seconds": statistics.median(processor for _, processor in times),
        }
        for name, times in took.items()
    }


def run_of_one_step(folder: Path, number: int) -> list[str]:
    """The command of a run in a folder of its own."""
    stage = {"name": "only", "questions": str(folder / "questions.parquet"), "steps": 1}
    return [
        *(sys.executable, "-m", "videothinker", "train", str(folder / "config.yaml")),
        *(f"out={folder / f'run{number}'}", f"stages={json.dumps([stage])}"),
    ]


def seconds(command: list[str]) -> tuple[float, float]:
    """Wall, and processor time of the process and all whose end it waited for."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
    }
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    finished = subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if finished.returncode:
        raise SystemExit(f"{command} failed:\n{finished.stderr.decode()[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def note(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(description="What a start costs.")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    cpu_torch.install()
    with tempfile.TemporaryDirectory(prefix="videothinker-startup-") as place:
        folder = Path(place)
        seconds([sys.executable, str(WORKLOAD), str(folder), "tiny"])
        print(json.dumps(measure(folder, given.rounds)))


if __name__ == "__main__":
    main()
