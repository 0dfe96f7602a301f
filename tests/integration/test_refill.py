"""A run that draws on for groups that teach nothing, and is killed twice, trains the same groups as
one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_process import Command, wait_for
from same_training import asked_order, largest_difference, untimed

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.mini import SHIPPED_BASE

STEPS, SIZE, REFILL = 40, 2, 3


@pytest.fixture(scope="module")
def config(run_config: RunConfig) -> RunConfig:
    """Groups so small that many are of equal rewards; a state every fourth step; nothing else is
    asked of the engines.
    """
    update: dict[str, Any] = {"steps": STEPS, "prompts_per_step": SIZE}
    sampling = {"group_size": 2, "refill": REFILL}
    return run_config.model_copy(
        update={
            "stages": (run_config.stages[0].model_copy(update=update),),
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "sampling": run_config.sampling.model_copy(update=sampling),
            "learner": run_config.learner.model_copy(update={"save_every": 4}),
        }
    )


def drawn(run: Path) -> list[dict[str, Any]]:
    return read_lines(run / "stages" / "bias" / "draws.jsonl")


@pytest.fixture(scope="module")
def runs(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Undisturbed; and with all of its processes killed at two moments."""
    folder = tmp_path_factory.mktemp("refill")
    file, whole, killed = (folder / name for name in ("config.yaml", "whole", "killed"))
    file.write_text(to_yaml(config))
    code, _, err = Command("train", file, f"out={whole}").finish()
    assert code == 0, err
    at = 0
    for _ in range(2):
        at += random.randint(6, STEPS // 2 - 2)
        victim = Command("train", file, f"out={killed}")
        wait_for(lambda: len(drawn(killed)) >= at, victim)  # noqa: B023 - waited for here
        time.sleep(random.random() / 4)
        for pid in victim.living():
            os.kill(pid, signal.SIGKILL)
        victim.finish()
        assert not (killed / "stages" / "bias" / "model").exists(), "it was over before"
    code, _, err = Command("train", "--resume", killed).finish()
    assert code == 0, err
    return whole, killed


def groups(run: Path) -> list[tuple[int, str, bool, list[list[int]]]]:
    """Of every Parquet file: step, question, whether it was left out, and what was said."""
    rows = [
        row
        for file in sorted((run / "rollouts").glob("*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    return [(row["step"], row["prompt_id"], row["left_out"], row["token_ids"]) for row in rows]


def test_it_trains_the_same_groups_to_the_same_weights(runs: tuple[Path, Path]) -> None:
    whole, killed = runs
    assert drawn(killed) == drawn(whole)
    assert groups(killed) == groups(whole)
    assert untimed(killed) == untimed(whole)
    models = [run / "stages" / "bias" / "model" for run in runs]
    assert largest_difference(*models) == 0


@pytest.mark.parametrize("which", [0, 1])
def test_no_prompt_is_lost_or_doubled(
    runs: tuple[Path, Path], which: int, config: RunConfig
) -> None:
    lines = drawn(runs[which])
    assert [line["step"] for line in lines] == [*range(1, STEPS + 1)]
    total = sum(line["drawn"] for line in lines)
    order = asked_order(config.stages[0].questions, config.seed, 1, total)[0]
    position, found = 0, groups(runs[which])
    for line in lines:
        assert line["first"] == position
        position += line["drawn"]
        trained, out = line["trained"], [one["question_id"] for one in line["left_out"]]
        assert sorted(trained + out) == sorted(order[line["first"] : position])
        there = [group for group in found if group[0] == line["step"]]
        assert [one[1] for one in there] == trained + out
        assert [one[1] for one in there if one[2]] == out


def test_it_draws_on_until_a_step_is_full_or_its_budget_spent(runs: tuple[Path, Path]) -> None:
    lines = drawn(runs[0])
    assert all(len(line["trained"]) == SIZE or line["drawn"] == SIZE + REFILL for line in lines), (
        "the rest would be questions that failed, of which there are none here"
    )
    assert {line["drawn"] for line in lines} > {SIZE}, "otherwise this tests nothing"
    for line in read_lines(runs[0] / "metrics.jsonl"):
        assert line["equal_reward_groups"] == line["left_out"] / line["drawn"]
