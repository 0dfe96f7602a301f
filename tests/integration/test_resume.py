"""A run that was killed and resumed is the run that was never interrupted, number by number."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_process import Command
from safetensors.torch import load_file

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE

TIMED = ("seconds", "time")
"""What of a step's line no two runs share."""
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def settings(run_config: RunConfig) -> RunConfig:
    """Two steps of stage 1, five of stage 2, which replays; a state every second step."""
    bias, cdpo = run_config.stages
    stages = (
        bias.model_copy(update={"steps": 2}),
        cdpo.model_copy(update={"steps": 5, "replay": 2}),
    )
    model = run_config.model.model_copy(update={"path": SHIPPED_BASE})
    data = run_config.data.model_copy(update={"validation": None})
    return run_config.model_copy(update={"stages": stages, "model": model, "data": data})


@pytest.fixture(scope="module")
def on_two_ranks(settings: RunConfig) -> RunConfig:
    """Stage 2 alone; ZeRO 3, where a rank has only its part of the parameters too."""
    cdpo = settings.stages[1]
    from_base = cdpo.model_copy(update={"kl": cdpo.kl.model_copy(update={"anchor": "base"})})
    learner = settings.learner.model_copy(update={"ranks": 2, "zero_stage": 3})
    return settings.model_copy(update={"stages": (from_base,), "learner": learner})


def whole_and_killed(config: RunConfig, folder: Path, earliest: int) -> tuple[Path, Path]:
    """The same run undisturbed and, beside it, killed from that many steps on, then resumed."""
    steps = sum(stage.steps for stage in config.stages)
    config_file, whole, killed = (folder / name for name in ("config.yaml", "whole", "killed"))
    config_file.write_text(to_yaml(config))
    undisturbed = Command("train", config_file, f"out={whole}")
    kill_at(killed, random.randint(earliest, steps - 1), config_file)
    for command in (Command("train", "--resume", killed), undisturbed):
        code, _, err = command.finish()
        assert code == 0, err
    return whole, killed


def kill_at(run: Path, lines: int, config_file: Path) -> None:
    """Start a run and end all of its processes at once, a moment after so many steps."""
    command = Command("train", config_file, f"out={run}")
    deadline = time.monotonic() + 300
    while len(read_lines(run / "metrics.jsonl")) < lines:
        assert command.process.poll() is None, command.finish(1)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.random() / 2)
    for pid in command.living():
        os.kill(pid, signal.SIGKILL)
    command.process.wait()


def numbers(run: Path) -> list[dict[str, Any]]:
    lines = read_lines(run / "metrics.jsonl")
    return [{key: line[key] for key in line if key not in TIMED} for line in lines]


def about(line: dict[str, Any]) -> dict[str, Any]:
    """Equal to every line whose floats are within the tolerance and whose rest is the same."""
    return {
        key: pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)
        if isinstance(value, float)
        else value
        for key, value in line.items()
    }


def digests(run: Path) -> dict[str, str]:
    models = json.loads((run / "summary.json").read_text())["models"]
    return {model["name"]: model["digest"] for model in models}


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "stages" / "cdpo" / "model" / "model.safetensors")


def test_a_killed_and_resumed_run_equals_an_undisturbed_one(
    settings: RunConfig, tmp_path: Path
) -> None:
    whole, killed = whole_and_killed(settings, tmp_path, earliest=3)
    assert numbers(killed) == numbers(whole)
    assert digests(killed) == digests(whole)


def test_on_two_ranks_it_does_so_within_a_millionth(
    on_two_ranks: RunConfig, tmp_path: Path
) -> None:
    whole, killed = whole_and_killed(on_two_ranks, tmp_path, earliest=2)
    assert numbers(killed) == [about(line) for line in numbers(whole)]
    torch.testing.assert_close(weights(killed), weights(whole), rtol=TOLERANCE, atol=TOLERANCE)
