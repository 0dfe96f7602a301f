"""What it takes to a given reward on mini CLEVRER, with `sampling.refill` and without.

    python tests/benchmarks/refill.py [--seeds 1,2,3] [--steps 40] [--refill 24] [--levels 1.65,1.7]

For each seed two runs of the same stage from the package's base model, one after the other, in
turns of order. A level is reached at the first step at which the mean reward of it and the four
before is at least that; the reward is of all groups sampled, those left out included. Progress goes
to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do

from videothinker.data.clevrer.prepare import prepare
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE
from videothinker.mini.write import write_world

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = 400
WINDOW = 5
"""Steps whose mean has to reach a level."""


def made(folder: Path) -> None:
    """Videos and questions that nothing else was tried on."""
    raw = folder / "raw"
    write_world(raw, VIDEOS, seed=45)
    prepare(raw / "questions.json", raw / "annotations", raw / "videos", folder)


def train(folder: Path, seed: int, steps: int, refill: int) -> list[Mapping[str, Any]]:
    """A stage's lines of metrics.jsonl."""
    out = folder / f"seed{seed}-refill{refill}"
    stage = {
        "name": "grpo",
        "questions": str(folder / "questions.parquet"),
        "steps": steps,
        "prompts_per_step": 12,
        "guard": {"action": "off"},
    }
    settings = [
        f"stages=[{json.dumps(stage)}]",
        f"model.path={SHIPPED_BASE}",
        f"data.videos={folder / 'raw' / 'videos'}",
        "data.validation=null",
        f"data.cache={folder / 'clips'}",
        f"sampling.refill={refill}",
        f"seed={seed}",
        f"out={out}",
    ]
    command = [sys.executable, "-m", "videothinker", "train", ROOT / "configs" / "quickstart.yaml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    subprocess.run([*command, *settings], check=True, stdout=sys.stderr, env=environment)
    return list(read_lines(out / "metrics.jsonl"))


def reached(lines: Sequence[Mapping[str, Any]], level: float) -> dict[str, float] | None:
    """What it took to a level; None where it was not reached."""
    for end in range(WINDOW, len(lines) + 1):
        if fmean(line["reward"] for line in lines[end - WINDOW : end]) >= level:
            return {
                "steps": end,
                "samples": sum(line["samples"] for line in lines[:end]),
                "seconds": sum(line["seconds"]["total"] for line in lines[:end]),
            }
    return None


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--refill", type=int, default=24)
    parser.add_argument("--levels", default="1.65,1.7,1.75")
    arguments = parser.parse_args()
    levels = [float(level) for level in arguments.levels.split(",")]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="videothinker-refill-") as name:
        folder = Path(name)
        made(folder)
        for place, seed in enumerate(map(int, arguments.seeds.split(","))):
            ways = [0, arguments.refill] if place % 2 == 0 else [arguments.refill, 0]
            for refill in ways:
                lines = train(folder, seed, arguments.steps, refill)
                found[f"seed {seed}, refill {refill}"] = {
                    "levels": {str(level): reached(lines, level) for level in levels},
                    "last": fmean(line["reward"] for line in lines[-WINDOW:]),
                    "left_out": sum(line.get("left_out", 0) for line in lines),
                    "equal": fmean(line["equal_reward_groups"] for line in lines),
                }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
