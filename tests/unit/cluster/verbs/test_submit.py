"""What travels with a job, and how its end becomes ours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus

from cluster.verbs.submit import Submission, being_taken, exit_code, portable, staged
from videothinker.cli.main import main
from videothinker.config.loading import first_difference, load_config
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import DEFAULT_CACHE, RunConfig
from videothinker.errors import VideoThinkerError

ROOT = Path(__file__).parents[4]
CDPO = ROOT / "configs" / "cdpo.yaml"
LIMIT = 2_000_000
"""Bytes that may travel; Ray refuses 512 MiB."""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.chdir(tmp_path)
    return load_config(CDPO, [])


def test_our_packages_and_the_configuration_travel_and_nothing_else(config: RunConfig) -> None:
    with staged(config, CDPO) as (folder, name):
        assert {file.name for file in folder.iterdir()} == {
            "videothinker",
            "actors",
            "learner",
            "cluster",
            name,
        }
        assert name == "cdpo.yaml"
        assert not list(folder.rglob("__pycache__"))
        assert sum(file.stat().st_size for file in folder.rglob("*")) < LIMIT
    assert not folder.exists()


def test_the_files_of_rewards_travel_by_the_names_of_their_functions(
    config: RunConfig, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rewards.py").write_text(f"# {folder}")
    calls = tuple(
        RewardConfig(call=f"{folder}/rewards.py:{name}")
        for folder, name in (("one", "brief"), ("two", "kind"))
    )
    own = config.model_copy(update={"rewards": (*config.rewards, *calls)})
    with staged(own, CDPO) as (folder, name):
        files = {file.name: file.read_text() for file in (folder / "carried").iterdir()}
        assert first_difference(load_config(folder / name), own) is None
    assert files == {"brief.py": "# one", "kind.py": "# two"}


def test_paths_count_from_where_submit_was_called(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged(config, CDPO) as (folder, name):
        monkeypatch.chdir(folder)
        there = load_config(folder / name)
    assert first_difference(there, config) is None
    assert there.out == tmp_path / "runs/cdpo"
    assert there.stages[0].kl.anchor == str(tmp_path / "runs/bias/stages/bias/model")


def test_the_cache_of_clips_is_that_of_the_machine_unless_one_was_named(
    config: RunConfig, tmp_path: Path
) -> None:
    assert str(DEFAULT_CACHE.expanduser()) not in portable(config)
    named = load_config(CDPO, [f"data.cache={tmp_path}/clips"])
    assert f"{tmp_path}/clips" in portable(named)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [
        (JobStatus.SUCCEEDED, 0, 0),
        (JobStatus.FAILED, 2, 2),
        (JobStatus.FAILED, None, 1),
        (JobStatus.STOPPED, None, 130),
    ],
)
def test_a_jobs_end_is_the_commands(status: JobStatus, driver: int | None, code: int) -> None:
    assert exit_code(SimpleNamespace(status=status, driver_exit_code=driver)) == code


def test_the_next_commands_are_ones_that_exist() -> None:
    job = Submission(id="raysubmit_1", address="http://127.0.0.1:8265", run=Path("/runs/cdpo"))
    from videothinker.cli import main

    for command in (job.commands()["status"], job.commands()["stop"]):
        program, *words = command.split()
        assert program == "videothinker"
        assert main.parse(words).run == Path("/runs/cdpo")


def test_a_configuration_that_cannot_run_is_refused_before_the_server_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nobody = "http://127.0.0.1:9"
    assert main(["submit", str(CDPO), "sede=3", "--address", nobody]) == 2
    assert "sede: unknown key. Did you mean 'seed'?" in capsys.readouterr().err


def test_files_that_are_absent_are_refused_where_the_job_would_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["submit", str(CDPO), "--address", "http://127.0.0.1:9"]) == 2
    assert "model.path: no model in models/Qwen2.5-VL-3B-Instruct" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ConnectionError("went away"), RuntimeError("a log\nwent away")])
def test_a_server_that_fails_in_the_middle_is_one_line(error: Exception) -> None:
    message = r"did not take the job \(went away\).*Submit again"
    with pytest.raises(VideoThinkerError, match=message) as refused, being_taken("http://head"):
        raise error
    assert "\n" not in str(refused.value)
