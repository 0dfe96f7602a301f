"""Repelled from what the policy said some steps ago without seeing: a run that crashes goes on from
the same anchors."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from cli_process import Command, wait_for
from same_training import largest_difference, untimed

from videothinker.config.kl import KLConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE

STEPS, EVERY = 7, 3
KL = KLConfig(
    direction="repel", anchor="policy", anchor_view="blind", anchor_every=EVERY, coefficient=0.1
)


@pytest.fixture(scope="module")
def config(run_config: RunConfig) -> RunConfig:
    """One stage, with a state every second step."""
    stage = run_config.stages[1].model_copy(update={"steps": STEPS, "kl": KL})
    return run_config.model_copy(
        update={
            "stages": (stage,),
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
        }
    )


@pytest.mark.slow  # who scores which step: unit/cluster/loop/test_moving.py
def test_it_does_so_bit_for_bit(config: RunConfig, tmp_path: Path) -> None:
    file, whole, crashed = (tmp_path / name for name in ("c.yaml", "whole", "crashed"))
    file.write_text(to_yaml(config))
    undisturbed = Command("train", file, f"out={whole}")
    at = random.randint(2, STEPS - 2)
    wait_for(lambda: len(read_lines(whole / "metrics.jsonl")) >= at, undisturbed)
    time.sleep(random.random() / 2)
    everybody = undisturbed.living()
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    shutil.copytree(whole, crashed)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    for command in (undisturbed, Command("train", "--resume", crashed)):
        code, _, err = command.finish()
        assert code == 0, err
    assert untimed(crashed) == untimed(whole)
    model = Path("stages", "cdpo", "model")
    assert largest_difference(crashed / model, whole / model) == 0
    lines = read_lines(whole / "metrics.jsonl")
    assert [line["whole_views"] for line in lines] == [0.0] * STEPS
    assert all(line["kl"] != 0 and line["logprob_gap_max"] < 1e-4 for line in lines)
    for run in (whole, crashed):
        assert list((run / "stages" / "cdpo" / "anchor").iterdir()) == []
