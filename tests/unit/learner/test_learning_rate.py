from __future__ import annotations

import pytest

from learner.rows import learning_rate
from videothinker.config.learner import LearnerConfig


def rates(steps: int, **settings: object) -> list[float]:
    config = LearnerConfig.model_validate({"learning_rate": 1.0, **settings})
    return [learning_rate(config, step, steps) for step in range(1, steps + 1)]


def test_without_a_warm_up_the_rate_falls_from_the_first_step() -> None:
    assert rates(4) == [1.0, 0.75, 0.5, 0.25]


def test_a_warm_up_rises_to_the_full_rate_and_the_schedule_follows() -> None:
    assert rates(6, warmup_steps=2) == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]


def test_a_constant_rate_has_a_warm_up_too() -> None:
    assert rates(4, warmup_steps=2, schedule="constant") == [0.5, 1.0, 1.0, 1.0]


def test_the_paper_s_last_step_has_a_five_hundredth_of_the_rate() -> None:
    assert rates(500)[-1] == pytest.approx(1 / 500)
