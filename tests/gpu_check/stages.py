"""Three stages in a row of the whole system with a tiny model: nothing grows from stage to stage.

New weights reach engines in the middle of completions, by the way that `auto` takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from mini_worlds import MINI_VIDEO, prepared_world

from gpu_check.part import Finding, answer
from videothinker.mini import SHIPPED_BASE

STEPS = 2
GROWTH = {"cuda": 1.02, "cpu": 1.15}
"""What stage 3 may hold of stage 1; a CPU's memory is that of whole processes."""


def settings(folder: Path, device: str) -> dict[str, Any]:
    stage = {
        "questions": str(folder / "questions.parquet"),
        "steps": STEPS,
        "prompts_per_step": 4,
    }
    away = {"direction": "repel", "anchor": "first", "coefficient": 0.1}
    return {
        "name": "stages",
        "out": str(folder / "run"),
        "model": {
            "path": str(SHIPPED_BASE),
            "dtype": "bfloat16" if device == "cuda" else "float32",
        },
        "data": {"videos": str(folder / "raw" / "videos")},
        "video": MINI_VIDEO.model_dump(),
        "sampling": {"max_tokens": 48},
        "rewards": ["soft_accuracy", "format"],
        "learner": {"zero_stage": 2, "learning_rate": 1e-5},
        "rollout": {"max_model_len": 512, "cache_gb": 0.25, "max_staleness": 1, "in_flight": True},
        "cluster": {"device": device},
        "faults": {"heartbeat_seconds": 0.5},
        "stages": [
            {"name": "first", "kl": {"direction": "none"}} | stage,
            {"name": "second", "kl": away} | stage,
            {"name": "third", "kl": away} | stage,
        ],
    }


def held(run: Path) -> dict[str, dict[str, float]]:
    """By stage and role, GB of device memory at the end of the stage."""
    found: dict[str, dict[str, float]] = {}
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        found[line["stage"]] = {
            role: figures["memory_gb"]
            for role, figures in line["roles"].items()
            if figures.get("memory_gb")
        }
    return found


def stages(device: torch.device) -> Finding:
    with TemporaryDirectory() as name:
        folder = prepared_world(Path(name), videos=8)
        file = folder / "stages.yaml"
        file.write_text(yaml.safe_dump(settings(folder, device.type)))
        done = subprocess.run(
            [sys.executable, "-m", "videothinker", "train", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return Finding(passed=False, said=done.stderr.strip().splitlines()[-1], figures={})
        found = held(folder / "run")
        gaps = [
            json.loads(line)["logprob_gap"]
            for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
        ]
    first, second, third = (found[stage] for stage in ("first", "second", "third"))
    growth = {role: third[role] / first[role] for role in first if role in third}
    if "anchor" in second:  # which had no model in the first
        growth["anchor"] = third["anchor"] / second["anchor"]
    return Finding(
        passed=max(growth.values()) < GROWTH[device.type],
        said="memory after stage 3 by that after stage 1",
        figures=growth | {"largest gap of a step, nats": max(gaps)},
    )


if __name__ == "__main__":
    answer(stages)
