"""Learning from a step's first groups while its others are sampled, with the real engines."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_process import Command
from same_training import largest_difference
from soak import soak_config

from videothinker.config.loading import to_yaml
from videothinker.config.settings import VideoConfig

pytestmark = pytest.mark.slow  # short: test_learner.py, unit/cluster/loop/test_supply.py

PROMPTS = 16
"""Of a step: more than two rows."""


def test_what_is_learned_does_not_depend_on_when_a_group_came(
    taught_base: Path, mini_world: Path, mini_video: VideoConfig, tmp_path: Path
) -> None:
    models = {}
    for name, overlap, workers in (("one", True, 1), ("two", True, 2), ("after", False, 1)):
        config = soak_config(
            *(taught_base, mini_world, tmp_path / "clips", mini_video),
            steps=3,
            prompts_per_step=PROMPTS,
            workers=workers,
        )
        learner = config.learner.model_copy(update={"overlap": overlap, "learning_rate": 1e-4})
        file = tmp_path / f"{name}.yaml"
        file.write_text(to_yaml(config.model_copy(update={"learner": learner})))
        code, _, err = Command("train", file, f"out={tmp_path / name}").finish()
        assert code == 0, err
        models[name] = tmp_path / name / "stages" / "cdpo" / "model"
    assert largest_difference(models["one"], taught_base) > 1e-5
    assert largest_difference(models["one"], models["two"]) == 0
    # rows of other groups, and gradients added up in another order
    assert 0 < largest_difference(models["one"], models["after"]) < 1e-4
