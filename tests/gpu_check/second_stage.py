"""Steps away from a bias model, phase by phase, beside the floor.

The floor is the plan's for this layout and these lengths, with what this card was measured to do in
the place of a data sheet's figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, median

import torch

from gpu_check.bias_run import SIZES, STAGE, bias_run, place_in
from gpu_check.environment import copy_rate, matrix_rate
from gpu_check.part import Finding, answer
from gpu_check.system import Line
from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape
from videothinker.planning import speed
from videothinker.planning.layout import Machine, owners_of, workforce
from videothinker.planning.placement import plan
from videothinker.planning.plan import memory_here
from videothinker.process.gpus import gpus

ALLOWED = 1.5
"""Times the floor."""
PHASES = ("generate", "score", "learn", "sync", "total")


def measured(lines: Sequence[Line]) -> dict[str, float]:
    """Seconds by phase, the median of the stage's steps but the first, which warms up."""
    later = [line["seconds"] for line in lines if line["stage"] == STAGE][1:]
    return {phase: median(seconds[phase] for seconds in later) for phase in PHASES}


def floor(
    config: RunConfig, shape: ModelShape, machine: Machine, chip: speed.Chip, tokens: float
) -> dict[str, float]:
    """Seconds by phase for completions of so many tokens, the longest with all that they may have,
    on chips like this one."""
    speed.mean_tokens = lambda _: tokens
    speed.longest_tokens = lambda config: config.sampling.max_tokens
    work = workforce([machine], owners_of([machine]), plan(config, shape, [machine]).places)
    found = asdict(speed.predict(config, shape, replace(work, chip=chip)))
    return {phase: found["on_policy" if phase == "total" else phase] for phase in PHASES}


def machine_here(device: torch.device) -> Machine:
    """As the launcher finds it."""
    cards = gpus() if device.type == "cuda" else []
    smallest = min((card.gb for card in cards), default=0.0)
    return Machine(gpus=len(cards), gpu_gb=smallest, host_gb=memory_here())


def chip_here(device: torch.device) -> speed.Chip:
    """What this card was measured to do, of which the plan takes its shares."""
    if device.type == "cpu":
        return speed.CPU
    return speed.gpu("this card", flops=matrix_rate(device), bandwidth=2 * copy_rate(device))


def beside(found: dict[str, float], least: dict[str, float]) -> dict[str, dict[str, float]]:
    """Of each phase its seconds, the floor's, and the ratio."""
    return {
        phase: {"s": took, "floor": least[phase], "ratio": took / least[phase]}
        for phase, took in found.items()
    }


def second_stage(device: torch.device, folder: Path) -> Finding:
    lines = bias_run(folder, device.type)
    config = load_config(place_in(folder) / "config.yaml", [])
    tokens = fmean(line["completion_length"] for line in lines if line["stage"] == STAGE)
    least = floor(config, SIZES[device.type].shape, machine_here(device), chip_here(device), tokens)
    figures = beside(measured(lines), least)
    total = figures["total"]
    return Finding(
        passed=device.type == "cpu" or total["ratio"] < ALLOWED,
        said=f"{total['s']:.2g} s a step, {total['ratio']:.2f} times the floor",
        goal=f"below {ALLOWED:g} times" if device.type == "cuda" else "on a CPU only that it runs",
        figures={f"{phase}, seconds": one for phase, one in figures.items()},
    )


if __name__ == "__main__":
    answer(second_stage)
