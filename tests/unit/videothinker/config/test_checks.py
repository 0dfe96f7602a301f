"""Settings that would do nothing, or leave nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest

from videothinker.config.checks import cross_checks


def problems(folder: Path, section: str, settings: dict[str, Any]) -> list[str]:
    stage = {"name": "only", "questions": "q.parquet", "steps": 10, "prompts_per_step": 4}
    return list(cross_checks(builders.run_config(folder, stage, **{section: settings})))


@pytest.mark.parametrize(
    ("section", "settings", "sentence"),
    [
        ("learner", {"offload": True, "zero_stage": 0}, "offload = True: with learner.zero_stage"),
        (
            "learner",
            {"freeze": ["vision", "merger", "embeddings", "layers"]},
            "freeze names every part of the model: nothing is left to train",
        ),
        ("learner", {"warmup_steps": 10}, "warmup_steps = 10: stages.0.steps = 10 end before"),
        ("rollout", {"in_flight": True}, "in_flight = True has no effect with rollout.max_stal"),
        (
            "rollout",
            {"sleep": True, "max_staleness": 1},
            "sleep = True: with rollout.max_staleness = 1 engines sample while the learner works",
        ),
        ("rollout", {"units_at_once": 2}, "units_at_once = 2 has no effect: no step of this run"),
        ("rollout", {"units_at_once": 2, "workers": 2}, "units_at_once = 2 has no effect"),
        (
            "rollout",
            {"units_at_once": 2, "workers": 2, "prompts_together": 2},
            "units_at_once = 2 has no effect",
        ),
        (
            "rollout",
            {"units_at_once": 2, "workers": 4, "max_staleness": 0, "prompts_together": 1},
            "units_at_once = 2 has no effect",
        ),
    ],
)
def test_a_setting_that_cannot_take_effect_is_refused(
    tmp_path: Path, section: str, settings: dict[str, Any], sentence: str
) -> None:
    (found,) = problems(tmp_path, section, settings)
    assert found.startswith(f"{section}.{sentence}")


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("learner", {"offload": True}),
        ("learner", {"freeze": ["vision", "merger", "embeddings"]}),
        ("learner", {"warmup_steps": 9}),
        ("rollout", {"max_staleness": 1}),
        ("rollout", {"sleep": True}),
        ("rollout", {"max_staleness": 1, "in_flight": True}),
        ("rollout", {"units_at_once": 2, "max_staleness": 1}),
        ("rollout", {"units_at_once": 2, "prompts_together": 2}),
        ("rollout", {"units_at_once": 2, "workers": 3, "prompts_together": 1}),
    ],
)
def test_its_neighbour_that_can_is_not(
    tmp_path: Path, section: str, settings: dict[str, Any]
) -> None:
    assert problems(tmp_path, section, settings) == []


def test_out_may_not_be_a_file(tmp_path: Path) -> None:
    file, stage = tmp_path / "file", {"name": "only", "questions": "q.parquet"}
    file.touch()
    config = builders.run_config(tmp_path, stage).model_copy(update={"out": file / "run"})
    [said] = cross_checks(config)
    assert f"{file} is a file" in said
