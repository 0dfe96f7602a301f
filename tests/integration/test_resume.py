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
from cli_process import Command

from videothinker.config import RunConfig
from videothinker.config_file import to_yaml
from videothinker.run import read_lines

TIMED = ("seconds",)
"""What of a step's line no two runs share."""


@pytest.fixture(scope="module")
def config_file(
    run_config: RunConfig, taught_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two steps of stage 1, five of stage 2, a state every second step."""
    bias, cdpo = run_config.stages
    stages = (bias.model_copy(update={"steps": 2}), cdpo.model_copy(update={"steps": 5}))
    model = run_config.model.model_copy(update={"path": taught_base})
    data = run_config.data.model_copy(update={"validation": None})
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(
        to_yaml(run_config.model_copy(update={"stages": stages, "model": model, "data": data}))
    )
    return file


def finish(*arguments: str | Path) -> None:
    code, _, err = Command(*arguments).finish()
    assert code == 0, err


def kill_at(run: Path, lines: int, config_file: Path) -> None:
    """Start a run and end all of its processes at once, a moment after so many steps."""
    command = Command("train", config_file, f"out={run}")
    deadline = time.monotonic() + 180
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


def test_a_killed_and_resumed_run_equals_an_undisturbed_one(
    config_file: Path, tmp_path: Path
) -> None:
    finish("train", config_file, f"out={tmp_path / 'whole'}")
    kill_at(tmp_path / "killed", random.randint(3, 6), config_file)
    finish("train", "--resume", tmp_path / "killed")
    assert numbers(tmp_path / "killed") == numbers(tmp_path / "whole")
    digests = [
        {model["name"]: model["digest"] for model in json.loads(file.read_text())["models"]}
        for file in (tmp_path / "whole" / "summary.json", tmp_path / "killed" / "summary.json")
    ]
    assert digests[0] == digests[1]
