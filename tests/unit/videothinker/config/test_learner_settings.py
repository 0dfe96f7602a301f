"""Settings of the learner that would do nothing, or leave nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from videothinker.config.checks import cross_checks
from videothinker.config.settings import RunConfig


def problems(out: Path, **learner: Any) -> list[str]:
    config = RunConfig.model_validate(
        {
            "name": "x",
            "out": out / "run",
            "model": {"path": "m"},
            "data": {"videos": "v"},
            "learner": learner,
            "stages": [{"name": "only", "questions": "q.parquet", "steps": 10}],
        }
    )
    return list(cross_checks(config))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"offload": True, "zero_stage": 0}, "learner.offload = True: with learner.zero_stage = 0"),
        (
            {"freeze": ["vision", "merger", "embeddings", "layers"]},
            "learner.freeze names every part of the model: nothing is left to train",
        ),
        ({"warmup_steps": 10}, "learner.warmup_steps = 10: stages.0.steps = 10 end before"),
    ],
)
def test_a_setting_that_cannot_take_effect_is_refused(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    (found,) = problems(tmp_path, **settings)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    "settings",
    [{"offload": True}, {"freeze": ["vision", "merger", "embeddings"]}, {"warmup_steps": 9}],
)
def test_its_neighbour_that_can_is_not(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert problems(tmp_path, **settings) == []
