"""Three stages in a row of the whole system with a tiny model: nothing grows from stage to stage.

New weights reach engines in the middle of completions, by the way that `auto` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mini_worlds import MINI_VIDEO, prepared_world

from gpu_check.part import Finding, answer
from gpu_check.system import Line, train
from videothinker.mini import SHIPPED_BASE

STEPS = 2
GROWTH = {"cuda": 1.02, "cpu": 1.15}
"""What stage 3 may hold of stage 1; a CPU's memory is that of whole processes."""


def settings(folder: Path, device: str) -> dict[str, Any]:
    stage = {
        "questions": str(folder / "questions.parquet"),
        "steps": STEPS,
        "prompts_per_step": 2,
    }
    away = {"direction": "repel", "anchor": "first", "coefficient": 0.1}
    return {
        "name": "stages",
        "out": str(folder / "run"),
        "model": {
            "path": str(SHIPPED_BASE),
            "dtype": "bfloat16" if device == "cuda" else "float32",
        },
        "data": {"videos": str(folder / "raw" / "videos"), "cache": str(folder / "clips")},
        "video": MINI_VIDEO.model_dump(),
        "sampling": {"max_tokens": 48, "group_size": 4},
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


def growth(lines: Sequence[Line]) -> dict[str, float]:
    """By role, memory at the end of stage 3 by that at the end of the first stage in which it had a
    model."""
    held = {
        line["stage"]: {
            role: figures["memory_gb"]
            for role, figures in line["roles"].items()
            if figures.get("memory_gb")
        }
        for line in lines
    }
    first = held["second"] | held["first"]
    if "anchor" in held["second"]:  # which has none in the first
        first["anchor"] = held["second"]["anchor"]
    return {role: size / first[role] for role, size in held["third"].items()}


def stages(device: torch.device, folder: Path) -> Finding:
    world = prepared_world(folder / "stages", videos=8)
    lines = train(settings(world, device.type), world / "stages.yaml")
    found, allowed = growth(lines), GROWTH[device.type]
    worst = max(found.values())
    return Finding(
        passed=worst < allowed,
        said=f"after stage 3 at most {worst:.3f} times the memory after stage 1",
        goal=f"below {allowed:g}",
        figures=found | {"largest gap of a step, nats": max(one["logprob_gap"] for one in lines)},
    )


if __name__ == "__main__":
    answer(stages)
