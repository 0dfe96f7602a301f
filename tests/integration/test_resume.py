"""A run of two learner ranks that crashes and is resumed is the run that was never interrupted."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_process import Command, wait_for
from safetensors.torch import load_file
from same_training import untimed

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE

STEPS = 5
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def on_two_ranks(run_config: RunConfig) -> RunConfig:
    """Stage 2 alone, which replays; ZeRO 3, where a rank has only its part of the parameters too;
    a state every second step.
    """
    cdpo = run_config.stages[1]
    kl = cdpo.kl.model_copy(update={"anchor": "base"})
    stage = cdpo.model_copy(update={"steps": STEPS, "replay": 2, "kl": kl})
    return run_config.model_copy(
        update={
            "stages": (stage,),
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "learner": run_config.learner.model_copy(update={"ranks": 2, "zero_stage": 3}),
        }
    )


def copy_as_a_crash_leaves_it(command: Command, run: Path, copy: Path) -> None:
    """What is on the disk while none of its processes gets any further."""
    everybody = command.living()
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    shutil.copytree(run, copy)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)


def about(line: dict[str, Any]) -> dict[str, Any]:
    """Equal to every line whose floats are within the tolerance and whose rest is the same."""
    return {
        key: pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)
        if isinstance(value, float)
        else value
        for key, value in line.items()
    }


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "stages" / "cdpo" / "model" / "model.safetensors")


@pytest.mark.slow  # two ranks under Ray: test_hangs.py; their states: test_learner.py
def test_on_two_ranks_it_does_so_within_a_millionth(
    on_two_ranks: RunConfig, tmp_path: Path
) -> None:
    config_file, whole, crashed = (tmp_path / name for name in ("c.yaml", "whole", "crashed"))
    config_file.write_text(to_yaml(on_two_ranks))
    undisturbed = Command("train", config_file, f"out={whole}")
    at = random.randint(2, STEPS - 1)
    wait_for(lambda: len(read_lines(whole / "metrics.jsonl")) >= at, undisturbed)
    time.sleep(random.random() / 2)
    copy_as_a_crash_leaves_it(undisturbed, whole, crashed)
    assert not (crashed / "stages" / "cdpo" / "model").exists()  # it is not over
    for command in (undisturbed, Command("train", "--resume", crashed)):
        code, _, err = command.finish()
        assert code == 0, err
    assert untimed(crashed) == [about(line) for line in untimed(whole)]
    torch.testing.assert_close(weights(crashed), weights(whole), rtol=TOLERANCE, atol=TOLERANCE)
