"""One driver at a time, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from videothinker.config.loading import first_difference
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.run.directory import DRIVER_LOCK, RunDirectory
from videothinker.run.lock import driven, driving

Make = Callable[..., RunConfig]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A configuration of a run in this test's folder."""

    def config(**changes: object) -> RunConfig:
        stages = [{"name": "grpo", "questions": "/q.parquet"}]
        given = {"name": "x", "out": tmp_path / "run", "model": {"path": "/m"}, "stages": stages}
        return RunConfig.model_validate({**given, "data": {"videos": "/v"}, **changes})

    return config


def begun(config: RunConfig) -> RunDirectory:
    """A run that somebody began and no longer drives."""
    with driving(config) as run:
        run.status(state="training", stage="grpo", step=3)
        return run


def test_a_second_driver_is_refused_and_told_who_drives(make: Make) -> None:
    with driving(make()), pytest.raises(InputError, match=rf"process {os.getpid()} on "):
        begun(make())


def test_a_resumed_run_has_one_driver_too(make: Make) -> None:
    run = begun(make())
    with driving(make(), run.path), pytest.raises(InputError, match="is driving this run"):
        begun(make())


def test_the_ray_job_of_the_driver_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"metadata": {"job_submission_id": "raysubmit_7"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(told))
    with driving(make()), pytest.raises(InputError, match="Ray job raysubmit_7"):
        begun(make())


def test_a_killed_driver_leaves_the_run_to_the_next(make: Make) -> None:
    config = make()
    begun(config)
    code = (
        "import sys, time; from pathlib import Path; from videothinker.run.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(config.out)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        assert driven(config.out) is True
        process.send_signal(signal.SIGKILL)
    assert driven(config.out) is False
    begun(config)


def test_the_same_configuration_goes_on_and_says_so(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(make())
    with driving(make()) as run:
        assert run.status()["step"] == 3
    said = capsys.readouterr().err
    assert f"going on with {run.path}, which was training at step 3 of stage grpo" in said


def test_another_configuration_is_refused_with_the_first_setting_that_differs(make: Make) -> None:
    run = begun(make())
    with pytest.raises(InputError, match=r"sampling\.group_size is 8 there and 4 here"):
        begun(make(sampling={"group_size": 4}, learner={"ranks": 2}))
    assert json.loads((run.path / "status.json").read_text())["step"] == 3


@pytest.mark.parametrize("begins", [{}, {"lora": {}}])
def test_whole_weights_are_not_gone_on_with_as_an_adapter_nor_the_reverse(
    make: Make, begins: dict[str, object]
) -> None:
    begun(make(learner=begins))
    with pytest.raises(InputError, match=r"learner\.lora.* is .* there and .* here") as refused:
        begun(make(learner={} if begins else {"lora": {}}))
    assert "\n" not in str(refused.value)


def test_resuming_a_run_that_was_moved_is_no_other_configuration(make: Make) -> None:
    moved = begun(make()).path.rename(make().out.with_name("moved"))
    with driving(make(), moved) as run:
        assert run.path == moved


def test_a_finished_run_is_not_trained_again(make: Make) -> None:
    (begun(make()).path / "summary.json").write_text('{"finished": 1.0}')
    with pytest.raises(InputError, match=r"is finished.*report\.html"):
        begun(make())


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(make: Make) -> None:
    make().out.mkdir()
    (make().out / "thesis.tex").touch()
    with pytest.raises(InputError, match="not a run"):
        begun(make())
    assert [file.name for file in make().out.iterdir()] == ["thesis.tex"]


def test_a_start_that_was_cut_short_is_begun_again(make: Make) -> None:
    (make().out / "rollouts").mkdir(parents=True)
    (make().out / DRIVER_LOCK).touch()
    assert begun(make()).path.is_dir()


def test_of_a_run_that_was_never_driven_nothing_is_known(tmp_path: Path) -> None:
    assert driven(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"out": "/elsewhere"}, None),
        ({"seed": 3}, "seed is 42 there and 3 here"),
        ({"rewards": ["format"]}, "rewards is ['soft_accuracy', 'format'] there and"),
        (
            {"stages": [{"name": "grpo", "questions": "/q.parquet", "limit": 5}]},
            "stages.0.limit is None there and 5 here",
        ),
        (
            {
                "stages": [
                    {"name": "grpo", "questions": "/q.parquet"},
                    {"name": "two", "questions": "/q.parquet"},
                ]
            },
            "stages.1.name is 'absent' there and 'two' here",
        ),
    ],
)
def test_the_first_difference_has_both_values(
    make: Make, changes: dict[str, object], said: str | None
) -> None:
    found = first_difference(make(**changes), make())
    assert found is None if said is None else found is not None and said in found
