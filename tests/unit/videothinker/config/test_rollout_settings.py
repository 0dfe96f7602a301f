"""Settings of the rollout workers that would do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from videothinker.config.checks import cross_checks
from videothinker.config.settings import RunConfig


def problems(out: Path, rollout: dict[str, Any]) -> list[str]:
    config = RunConfig.model_validate(
        {
            "name": "x",
            "out": out / "run",
            "model": {"path": "m"},
            "data": {"videos": "v"},
            "rollout": rollout,
            "stages": [{"name": "only", "questions": "q.parquet", "prompts_per_step": 4}],
        }
    )
    return list(cross_checks(config))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"in_flight": True}, "rollout.in_flight = True has no effect with rollout.max_staleness"),
        ({"units_at_once": 2}, "rollout.units_at_once = 2 has no effect: no step of this run"),
        ({"units_at_once": 2, "workers": 2}, "rollout.units_at_once = 2 has no effect"),
        ({"units_at_once": 2, "workers": 2, "prompts_together": 2}, "rollout.units_at_once = 2"),
        ({"units_at_once": 2, "workers": 4, "max_staleness": 0, "prompts_together": 1}, "rollout."),
    ],
)
def test_a_setting_that_cannot_take_effect_is_refused(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    (found,) = problems(tmp_path, settings)
    assert found.startswith(sentence)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_staleness": 1},
        {"max_staleness": 1, "in_flight": True},
        {"units_at_once": 2, "max_staleness": 1},
        {"units_at_once": 2, "prompts_together": 2},
        {"units_at_once": 2, "workers": 3, "prompts_together": 1},
    ],
)
def test_its_neighbour_that_can_is_not(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert problems(tmp_path, settings) == []
