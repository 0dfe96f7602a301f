"""A coefficient that changes from step to step reaches who multiplies with it: the real loop."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import run_config
from stand_ins import Rank, Stage

from videothinker.config.settings import GuardConfig, StageConfig
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups
from videothinker.types import LearnerReport

STEPS = 4


class Listening(Rank):
    """A rank that keeps what it is told of the coefficient."""

    def __init__(self, heard: list[float]) -> None:
        super().__init__(0.0)
        self._heard = heard

    async def step(self, step: int, *rest: Any) -> LearnerReport:
        self._heard.append(rest[0])
        return await super().step(step)


def trained(folder: Path, **kl: Any) -> tuple[RunDirectory, list[float]]:
    """A run of a few steps, and the coefficients that the learner was given."""
    stage = StageConfig.model_validate(
        {
            "name": "cdpo",
            "questions": folder / "questions.parquet",
            "steps": STEPS,
            "kl": {"anchor": "base", **kl},
            "guard": GuardConfig(action="off"),
        }
    )
    heard: list[float] = []
    with closing(Stage(run_config(folder, stage), learner=lambda _: Listening(heard))) as run:
        return run.train(lambda *_: None), heard


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        ("constant", None, [0.6, 0.6, 0.6, 0.6]),
        ("ramp", 3, [0.2, 0.4, 0.6, 0.6]),
        ("early", 3, [0.6, 0.6, 0.6, 0]),
    ],
)
def test_the_learner_and_the_metrics_have_each_steps_coefficient(
    tmp_path: Path, schedule: str, steps: int | None, expected: list[float]
) -> None:
    kl = {"direction": "repel", "coefficient": 0.6, "schedule": schedule, "schedule_steps": steps}
    run, heard = trained(tmp_path, **kl)
    recorded = [line["coefficient"] for line in read_lines(run.path / "metrics.jsonl")]
    assert heard == recorded == pytest.approx(expected)


def test_the_policys_own_rank_needs_no_anchor(tmp_path: Path) -> None:
    run, _ = trained(tmp_path, direction="unlikely", coefficient=0.4)
    lines = read_lines(run.path / "metrics.jsonl")
    assert any(line["deduction"] < 0 and line["debias_share"] > 0 for line in lines)
    for step in range(1, STEPS + 1):
        assert all(row["anchor_logprobs"] is None for row in read_groups(run.path, "cdpo", step))


def test_a_tie_break_takes_each_steps_share_of_what_is_earned(tmp_path: Path) -> None:
    tie_break = {"direction": "tie_break", "likelihood": "absolute", "coefficient": 0.6}
    run, _ = trained(tmp_path, **tie_break, schedule="ramp", schedule_steps=3)
    for step, share in enumerate([0.2, 0.4, 0.6, 0.6], start=1):
        for row in read_groups(run.path, "cdpo", step):
            likely = [np.exp(np.mean(one)) for one in row["anchor_logprobs"]]
            lost = share * np.array(likely) * np.array(row["reward_soft_accuracy"])
            assert lost.any()
            assert row["reward_deduction"] == pytest.approx(-lost, abs=1e-6)
