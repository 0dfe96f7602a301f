"""A run whose own Ray is lost goes on with a new one, but not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import run_config

from cluster import train
from videothinker.config.settings import FaultsConfig, RunConfig, StageConfig
from videothinker.errors import RayLost, VideoThinkerError
from videothinker.files import read_json
from videothinker.run.copies import Copying
from videothinker.run.directory import RunDirectory

LOST = RayLost("raylet died")


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    stage = StageConfig(name="grpo", questions=tmp_path / "questions.parquet", steps=9)
    return run_config(tmp_path, stage, faults=FaultsConfig(restarts=2, backoff_seconds=0))


class Stages:
    """Stands for a run's stages: each attempt makes so many steps, and then Ray is lost."""

    def __init__(self, *made: int) -> None:
        self.made = list(made)
        self.attempts = 0

    def __call__(self, config: RunConfig, run: RunDirectory, _: Copying) -> dict[str, Any]:
        self.attempts += 1
        if not self.made:
            return {"models": []}
        for _ in range(self.made.pop(0)):
            run.record({"stage": "grpo", "step": 1})
        raise LOST


def outcome(
    config: RunConfig, stages: Stages, run: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.setattr(train, "train_stages", stages)
    return train.outliving_ray(config, RunDirectory.create(run, ""), Copying(run, None))


def test_losses_with_steps_between_them_are_outlived(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(1, 1, 0, 1, 1, 0)
    assert outcome(config, stages, tmp_path / "lost", monkeypatch) == {"models": []}
    assert stages.attempts == 7
    assert read_json(tmp_path / "lost" / "status.json")["error"] is None


def test_losses_without_a_step_between_them_end_the_run(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(1, 0, 0, 0, 0)
    with pytest.raises(VideoThinkerError, match=r"3 times in a row.*faults\.restarts = 2.*raylet"):
        outcome(config, stages, tmp_path / "lost", monkeypatch)
    assert stages.attempts == 3
