"""Which configuration a command asks for, and where its paths count from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from builders import question, run_config

from videothinker.cli.main import main
from videothinker.cli.preflight import (
    asked_config,
    asked_questions,
    missing_files,
    missing_trackers,
)
from videothinker.config.draw import DrawConfig
from videothinker.config.settings import StageConfig
from videothinker.data.questions import write_questions
from videothinker.errors import ConfigError, InputError
from videothinker.tracking import trackers

CDPO = Path(__file__).parents[4] / "configs" / "cdpo.yaml"


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that Ray would unpack a checkout into, as the working directory."""
    folder = tmp_path / "working_dir_files" / "_ray_pkg_0123456789abcdef"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "cdpo.yaml").write_text(CDPO.read_text())
    monkeypatch.chdir(folder)
    return folder


def test_results_in_a_jobs_temporary_folder_are_refused_with_the_way_out(
    upload: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "configs/cdpo.yaml"]) == 2
    said = capsys.readouterr().err
    assert "out: runs/cdpo would be in the temporary folder of this Ray job" in said
    assert "--paths-from DIR" in said
    assert "hf download" not in said, "a remedy for the wrong folder"


def test_relative_paths_count_from_the_folder_that_is_named(upload: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    config, _ = asked_config(["configs/cdpo.yaml", "data.videos=clips"], paths_from=shared)
    assert config.out == shared / "runs/cdpo"
    assert config.data.videos == shared / "clips"
    assert "hf download" in missing_files(config)[0]


def test_a_run_to_resume_counts_from_there_too(upload: Path, tmp_path: Path) -> None:
    run = tmp_path / "shared" / "runs" / "cdpo"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(CDPO.read_text())
    config, _ = asked_config([], Path("runs/cdpo"), tmp_path / "shared")
    assert config.out == run


def test_a_folder_that_is_not_there_is_refused(upload: Path) -> None:
    with pytest.raises(InputError, match="--paths-from /nowhere: No such file"):
        asked_config(["configs/cdpo.yaml"], paths_from=Path("/nowhere"))


def test_resuming_a_finished_run_shows_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videothinker.cli.preflight.check_paths", lambda config: [])
    (tmp_path / "config.yaml").write_text(CDPO.read_text())
    (tmp_path / "summary.json").write_text('{"finished": 1.0, "models": []}')
    assert main(["train", "--resume", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "there is nothing left to train" in said.err
    assert str(tmp_path / "report.html") in said.out


def test_a_machine_that_lacks_the_device_is_told_before_anything_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config, _ = asked_config([str(CDPO)])
    assert "make setup-gpu" in "\n".join(missing_files(config))
    there, _ = asked_config([str(CDPO), "cluster.address=10.0.0.1:6379"])
    assert "make setup-gpu" not in "\n".join(missing_files(there)), "its machines know"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "make setup-gpu" not in "\n".join(missing_files(config))


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_tracker_without_its_library_is_refused_before_anything_starts(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKERS_VENV", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["train", str(CDPO), "report_to=[tensorboard]", *words]) == 2
    said = capsys.readouterr()
    assert "report_to: tensorboardX is not installed in this environment" in said.err
    assert "pip install tensorboardX" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_address_for_copies_that_cannot_be_used_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(CDPO), "copy_to=nosuch://place/run"]) == 2
    assert (
        "copy_to: nosuch://place/run cannot be used (Protocol not known" in capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_s_library_is_looked_for_where_it_is_told_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKERS_VENV", str(tmp_path))
    config, _ = asked_config([str(CDPO), "report_to=[mlflow]"])
    [line] = missing_trackers(config)
    assert line.startswith(f"report_to: mlflow is not installed in {tmp_path}. Run `pip install")
    library = tmp_path / "lib" / "python3.11" / "site-packages" / "mlflow"
    library.mkdir(parents=True)
    (library / "__init__.py").touch()
    assert missing_trackers(config) == []


def test_a_folder_that_a_library_leaves_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACKERS_VENV", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trackers, "LIBRARIES", {"wandb": "left_by_a_library"})
    (tmp_path / "left_by_a_library").mkdir()
    assert trackers.not_installed(["wandb"]) == ["left_by_a_library"]


def test_weights_that_cannot_be_drawn_by_are_told_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "questions.parquet"
    write_questions(file, [question("x", weight=0.0)])
    stages = [
        StageConfig(name=name, questions=file, draw=DrawConfig(by="column", column=column))
        for name, column in (("one", "hard"), ("two", "weight"))
    ]
    with pytest.raises(ConfigError) as refused:
        asked_questions(run_config(tmp_path, *stages))
    _, first, second = str(refused.value).splitlines()
    assert first.startswith(f"  - {file}: column 'hard' is missing, there are id, ")
    assert second.startswith(f"  - {file}: column 'weight' is 0 for all 1 questions of stages.1,")
