"""A run's directory: whole files, whole lines, and clear words when the disk will not have them."""

import json
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import completion, group, question

from videothinker.errors import InputError
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory
from videothinker.types import ScoredGroup


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", "name: test\n")


def scored(*, anchor: bool = True) -> ScoredGroup:
    return ScoredGroup(
        group=group(
            *[completion(f"text {n}", n, logprobs=-0.5, version=7) for n in (2, 3)],
            about=question("video_00001/q0", video="video_00001.mp4", category="inferential"),
            seconds=1.5,
        ),
        rewards={
            "soft_accuracy": np.array([1, 0], np.float32),
            "format": np.array([1, 1], np.float32),
        },
        advantages=np.array([0.7, -0.7], np.float32),
        anchor_logprobs=(np.zeros(2, np.float32), np.zeros(3, np.float32)) if anchor else None,
    )


def test_a_new_run_holds_its_configuration(run: RunDirectory) -> None:
    assert (RunDirectory.open(run.path).path / "config.yaml").read_text() == "name: test\n"


def test_a_run_never_starts_on_top_of_another(run: RunDirectory) -> None:
    with pytest.raises(InputError, match="Choose another folder"):
        RunDirectory.create(run.path, "name: other\n")
    assert (run.path / "config.yaml").read_text() == "name: test\n"


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "name: test\n")


def test_a_folder_without_configuration_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        RunDirectory.open(tmp_path)


def test_status_keeps_the_fields_it_is_not_told_about(run: RunDirectory) -> None:
    run.status(state="training", stage="bias", step=1)
    RunDirectory.open(run.path).status(step=np.int64(2))
    status = json.loads((run.path / "status.json").read_text())
    assert (status["state"], status["stage"], status["step"]) == ("training", "bias", 2)


def test_each_step_is_one_line_of_plain_json(run: RunDirectory) -> None:
    before = time.time()
    run.record({"step": 1, "reward": np.float32(0.5), "kl": float("nan")})
    run.record({"step": 2, "seconds": {"total": 1.0}})
    first, second = read_lines(run.path / "metrics.jsonl")
    assert before <= first.pop("time") <= second.pop("time") <= time.time()
    assert first == {"step": 1, "reward": 0.5, "kl": None}
    assert second == {"step": 2, "seconds": {"total": 1.0}}


def test_a_line_torn_by_a_crash_is_cut_off_before_going_on(run: RunDirectory) -> None:
    run.record({"step": 1})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "rew')
    assert [line["step"] for line in read_lines(run.path / "metrics.jsonl")] == [1]
    RunDirectory.open(run.path).record({"step": 2})
    assert [line["step"] for line in read_lines(run.path / "metrics.jsonl")] == [1, 2]


def test_a_skipped_sample_keeps_its_reason(run: RunDirectory) -> None:
    run.skip("bias", 3, "video_00001/q0", "decode: broken file")
    assert read_lines(run.path / "skipped.jsonl") == [
        {
            "stage": "bias",
            "step": 3,
            "question_id": "video_00001/q0",
            "reason": "decode: broken file",
        }
    ]


def test_every_group_is_a_row_with_all_its_completions(run: RunDirectory) -> None:
    run.rollouts("cdpo", 12, [scored(), scored(anchor=False)])
    path = run.path / "rollouts" / "cdpo-000012.parquet"
    first, second = pq.read_table(path).to_pylist()
    assert first["prompt_id"] == "video_00001/q0"
    assert first["completions"] == ["text 2", "text 3"]
    assert first["token_ids"] == [[0, 1], [0, 1, 2]]
    assert first["logprobs"] == [[-0.5] * 2, [-0.5] * 3]
    assert first["rewards"] == [2.0, 1.0]
    assert first["reward_soft_accuracy"] == [1.0, 0.0]
    assert first["advantages"] == pytest.approx([0.7, -0.7])
    assert first["weights_version"] == 7
    assert first["weights_versions"] == [[7] * 2, [7] * 3]
    assert first["anchor_logprobs"] == [[0.0] * 2, [0.0] * 3]
    assert second["anchor_logprobs"] is None


def test_pandas_and_duckdb_read_rollouts(run: RunDirectory) -> None:
    run.rollouts("cdpo", 12, [scored(), scored(anchor=False)])
    path = run.path / "rollouts" / "cdpo-000012.parquet"
    frame = pd.read_parquet(path)
    assert frame["completions"][0].tolist() == ["text 2", "text 3"]
    assert frame["token_ids"][0][1].tolist() == [0, 1, 2]
    assert frame["anchor_logprobs"][1] is None
    query = f"select step, options[1].letter, list_sum(rewards), len(logprobs[2]) from '{path}'"
    assert duckdb.sql(query).fetchall() == [(12, "A", 3.0, 3)] * 2


def test_duckdb_reads_a_whole_run_even_with_a_step_without_groups(run: RunDirectory) -> None:
    run.rollouts("bias", 1, [scored()])
    run.rollouts("cdpo", 2, [])
    files = run.path / "rollouts" / "*.parquet"
    query = f"select stage, reward_format from read_parquet('{files}', union_by_name=true)"
    assert duckdb.sql(query).fetchall() == [("bias", [1.0, 1.0])]


def test_a_replayed_step_replaces_its_rollouts(run: RunDirectory) -> None:
    run.rollouts("cdpo", 1, [scored(), scored()])
    run.rollouts("cdpo", 1, [scored()])
    path = run.path / "rollouts" / "cdpo-000001.parquet"
    assert pq.read_table(path).num_rows == 1


def test_a_step_without_groups_still_leaves_a_readable_file(run: RunDirectory) -> None:
    run.rollouts("cdpo", 1, [])
    assert pq.read_table(run.path / "rollouts" / "cdpo-000001.parquet").num_rows == 0


def test_a_stage_has_a_folder_of_its_own(run: RunDirectory) -> None:
    assert run.stage("bias") == run.path / "stages" / "bias"
    assert run.stage("bias").is_dir()


def test_summary_is_json_without_nan_or_paths(run: RunDirectory) -> None:
    run.summary({"path": Path("/x"), "seconds": float("inf"), "values": np.arange(2)})
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary == {"path": "/x", "seconds": None, "values": [0, 1]}


def test_a_stage_forgets_its_own_rollouts_and_no_namesakes(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    for name in ("cdpo-000001", "cdpo-000002", "cdpo-01-000002"):
        (run.path / "rollouts" / f"{name}.parquet").touch()
    run.forget_after("cdpo", 1)
    kept = sorted(file.stem for file in (run.path / "rollouts").iterdir())
    assert kept == ["cdpo-000001", "cdpo-01-000002"]


def test_steps_follow_each_other_although_the_clock_is_set_back(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time
    run.record({"stage": "a", "step": 1})
    monkeypatch.setattr(time, "time", lambda: right() - 3600)
    run.record({"stage": "a", "step": 2})
    RunDirectory.open(run.path).record({"stage": "a", "step": 3})
    moments = [line["time"] for line in read_lines(run.path / "metrics.jsonl")]
    assert moments == sorted(moments)
    assert moments[-1] < right() + 60
