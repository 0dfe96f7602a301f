"""What each role held at most in the run of `second_stage`, beside what the plan says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from gpu_check.bias_run import SIZES, lines_of, place_in
from gpu_check.part import Finding, answer
from gpu_check.system import Line
from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape
from videothinker.planning.memory import (
    anchor_parts,
    engine_parts,
    learner_parts,
    process_gb,
    total,
)
from videothinker.planning.passes import Parts

ALLOWED = 0.1
"""Of the plan, above or below."""


def planned(config: RunConfig, shape: ModelShape) -> dict[str, Parts]:
    """By role and part, of what a process tells of itself: on a GPU what torch allocates there,
    without the context; on a CPU the whole process."""
    roles = {
        "learner": learner_parts(config, shape),
        "rollout": engine_parts(config, shape),
        "anchor": anchor_parts(config, shape),
    }
    if config.cluster.device == "cpu":
        for role, parts in roles.items():
            parts["process"] = process_gb(role, "cpu")
    return {
        role: {part: size for part, size in parts.items() if size and part != "context"}
        for role, parts in roles.items()
    }


def peaks(lines: Sequence[Line]) -> dict[str, float]:
    """By role, the most GB of the steps that said so."""
    found: dict[str, float] = {}
    for line in lines:
        for role, figures in line["roles"].items():
            found[role] = max(found.get(role, 0.0), figures.get("memory_peak_gb") or 0.0)
    return found


def memory(device: torch.device, folder: Path) -> Finding:
    lines, gpu = lines_of(folder), device.type == "cuda"
    if not lines:
        raise RuntimeError("no steps to read: second_stage made none, and has to run before")
    config = load_config(place_in(folder) / "config.yaml", [])
    held, plan = peaks(lines), planned(config, SIZES[device.type].shape)
    ratios = {role: held[role] / total(parts) for role, parts in plan.items()}
    within = all(abs(ratio - 1) < ALLOWED for ratio in ratios.values())
    return Finding(
        passed=within or not gpu,
        said="of the plan: " + ", ".join(f"{role} {ratio:.2f}" for role, ratio in ratios.items()),
        goal=f"each within {ALLOWED:.0%}" if gpu else "on a CPU only said: whole processes",
        figures={
            f"{role}, GB": {"held": held[role], "planned": total(parts)} | parts
            for role, parts in plan.items()
        },
    )


if __name__ == "__main__":
    answer(memory)
