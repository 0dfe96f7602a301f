"""A thousand steps' rollouts as one file: nothing is lost, whoever looks, goes back or dies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders import completion, group, question

from videothinker.errors import InputError
from videothinker.run import rollout_files
from videothinker.run.directory import RunDirectory
from videothinker.run.rollout_files import pack_rollouts, rollout_steps, rollouts_file
from videothinker.run.rollouts import read_groups
from videothinker.types import ScoredGroup

STEPS = 35


def scored(step: int, *rewards: str) -> ScoredGroup:
    text = f"said in step {step}"
    one = group(completion(text, step % 7 + 1), about=question(f"q{step}", video="v.mp4"))
    return ScoredGroup(
        group=one,
        rewards={name: np.array([step], np.float32) for name in rewards or ("accuracy",)},
        advantages=np.zeros(1, np.float32),
        anchor_logprobs=None,
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_files, "TOGETHER", 10)
    monkeypatch.setattr(rollout_files, "AT_ONCE", 3)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """After so many steps; each of them but the fifth had two groups."""
    run = RunDirectory.create(tmp_path / "run", "name: long\n")
    train(run, range(1, STEPS + 1))
    return run


def train(run: RunDirectory, steps: range) -> None:
    for step in steps:
        if step != 5:
            run.rollouts("cdpo", step, [scored(step), scored(step)])


def names(run: RunDirectory) -> list[str]:
    return sorted(file.stem for file in (run.path / "rollouts").iterdir())


def kept(run: RunDirectory) -> dict[int, list[str]]:
    return {
        step: [row["completions"][0] for row in read_groups(run.path, "cdpo", step)]
        for step in range(1, STEPS + 2)
    }


def everything(until: int = STEPS) -> dict[int, list[str]]:
    return {
        step: [f"said in step {step}"] * 2 if step <= until and step != 5 else []
        for step in range(1, STEPS + 2)
    }


def test_older_steps_become_one_file_and_read_as_before(run: RunDirectory) -> None:
    own = [f"cdpo-{step:06d}" for step in range(21, STEPS + 1)]
    assert names(run) == ["cdpo-000001_000010", "cdpo-000011_000020", *own]
    assert kept(run) == everything()
    assert rollout_steps(run.path, "cdpo") == [s for s in range(1, STEPS + 1) if s != 5]


def test_columns_are_those_that_were_asked_for(run: RunDirectory) -> None:
    for step in (3, 33):
        [one, _] = read_groups(run.path, "cdpo", step, ("prompt_id", "step", "reward_none"))
        assert one == {"prompt_id": f"q{step}", "step": step}
        assert (
            read_groups(run.path, "cdpo", step)[0].keys()
            == read_groups(run.path, "cdpo", 34)[0].keys()
        )


@pytest.mark.parametrize("back", [28, 17, 10, 3, 0])
def test_a_stage_that_goes_back_and_comes_again_has_every_step_once(
    run: RunDirectory, back: int
) -> None:
    run.forget_after("cdpo", back)
    assert kept(run) == everything(back)
    train(run, range(back + 1, STEPS + 1))
    assert kept(run) == everything()
    rows = pq.ParquetDataset(run.path / "rollouts").read(["step"])["step"].to_pylist()
    assert sorted(rows) == sorted(2 * [s for s in range(1, STEPS + 1) if s != 5])


def test_what_a_crash_left_twice_is_there_once_after_the_next_thousand(run: RunDirectory) -> None:
    run.rollouts("cdpo", 8, [scored(8)])
    assert len(read_groups(run.path, "cdpo", 8)) == 1
    pack_rollouts(run.path, "cdpo", 40)
    assert not rollouts_file(run.path, "cdpo", 8).exists()
    assert len(read_groups(run.path, "cdpo", 8)) == 1
    assert len(read_groups(run.path, "cdpo", 7)) == 2


def test_steps_with_other_rewards_go_together(run: RunDirectory) -> None:
    for step in range(STEPS + 1, 51):
        run.rollouts("cdpo", step, [scored(step, "accuracy", "mine")])
    [one, _] = read_groups(run.path, "cdpo", 31)
    assert (one["reward_accuracy"], one["reward_mine"]) == ([31.0], None)
    [other] = read_groups(run.path, "cdpo", 40)
    assert other["reward_mine"] == [40.0]


def test_a_damaged_file_stays_and_stops_nobody(
    run: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = rollouts_file(run.path, "cdpo", 24)
    damaged.write_bytes(b"PAR1")
    pack_rollouts(run.path, "cdpo", 40)
    assert "rollouts of stage cdpo, steps from 21" in caplog.text
    assert damaged.exists()
    assert len(read_groups(run.path, "cdpo", 25)) == 2
    assert [name for name in names(run) if name.startswith(".")] == []


def test_a_damaged_thousand_costs_its_own_steps_alone(run: RunDirectory) -> None:
    damaged = run.path / "rollouts" / "cdpo-000011_000020.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert rollout_steps(run.path, "cdpo") == [*range(1, 5), *range(6, 11), *range(21, STEPS + 1)]
    with pytest.raises(InputError, match=r"000011_000020\.parquet: these rollouts cannot"):
        read_groups(run.path, "cdpo", 12)
    run.forget_after("cdpo", 30)
    with pytest.raises(InputError, match=r"goes back to step 15 of them\. Move the file away"):
        run.forget_after("cdpo", 15)


def test_stages_do_not_mix(run: RunDirectory) -> None:
    for step in range(1, 31):
        run.rollouts("cdpo-000001", step, [scored(step)])
    assert rollout_steps(run.path, "cdpo-000001") == list(range(1, 31))
    run.forget_after("cdpo-000001", 0)
    assert rollout_steps(run.path, "cdpo-000001") == []
    assert kept(run) == everything()
