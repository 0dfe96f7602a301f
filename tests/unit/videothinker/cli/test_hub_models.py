"""Verbs whose model is one of the Hub: from the words typed to the folder that is worked with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from builders import run_config
from hub_server import READER, WRITER, Hub

from videothinker.cli.main import main
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(hub: Hub, mini_world: Path, tmp_path: Path) -> Path:
    """A configuration whose policy and anchor are the Hub's, and whose files are all here."""
    hub.add("me/tiny", SHIPPED_BASE)
    hub.add("me/bias", SHIPPED_BASE)
    stage = {
        "name": "cdpo",
        "questions": mini_world / "questions.parquet",
        "steps": 2,
        "kl": {"direction": "repel", "anchor": "me/bias"},
    }
    config = run_config(
        tmp_path,
        stage,
        model={"path": "me/tiny@main", "dtype": "float32"},
        data={"videos": mini_world / "raw" / "videos"},
    )
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(config))
    return file


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations that the loop, which is not run, was given."""
    given: list[RunConfig] = []

    def run(config: RunConfig, directory: RunDirectory) -> dict[str, Any]:
        given.append(config)
        return {"models": []}

    monkeypatch.setattr("cluster.train.run", run)
    return given


def commit(hub: Hub, name: str = "me/tiny") -> str:
    return hub.models[name].branches["main"]


def move(hub: Hub, name: str = "me/tiny") -> None:
    """Somebody pushes to the branch."""
    hub.models[name].commit(hub.models[name].tip() | {"videothinker.json": b"{}"})


def test_a_dry_run_says_what_would_be_fetched_and_fetches_nothing(
    hub: Hub, file: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["train", str(file), "--dry-run"]) == 0
    said = capsys.readouterr()
    size = sum(len(data) for data in hub.models["me/tiny"].tip().values())
    assert f"me/tiny@main is commit {commit(hub)}; {size:,} B of it would be fetched" in said.err
    assert f"me/bias is commit {commit(hub, 'me/bias')}; " in said.err
    assert "warning" not in said.err
    assert "path: me/tiny@main" in said.out
    assert hub.files_sent() == set()
    assert not (tmp_path / "home").exists()


def test_a_dry_run_that_cannot_ask_warns(hub: Hub, file: Path, capsys: Capture) -> None:
    hub.down = True
    assert main(["train", str(file), "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "warning: model.path: me/tiny@main: the Hub answers 503" in said
    assert "warning: stages.0.kl.anchor: me/bias: the Hub answers 503" in said


def test_training_keeps_the_names_with_their_commits_and_works_with_folders(
    hub: Hub, file: Path, tmp_path: Path, trained: list[RunConfig]
) -> None:
    assert main(["train", str(file)]) == 0
    kept, [given] = load_config(tmp_path / "run" / "config.yaml"), trained
    assert kept.model.path == Path("me/tiny@main")
    assert kept.stages[0].kl.anchor == "me/bias"
    assert kept.pinned == {"me/tiny@main": commit(hub), "me/bias": commit(hub, "me/bias")}
    assert given.model.path.name == commit(hub)
    assert Path(given.stages[0].kl.anchor).name == commit(hub, "me/bias")
    assert (given.model.path / "model.safetensors").is_file()


@pytest.mark.parametrize("words", [["mine.yaml"], ["--resume", "run"]], ids=str)
def test_a_run_goes_on_with_the_commits_it_began_with(
    hub: Hub, file: Path, trained: list[RunConfig], words: list[str], capsys: Capture
) -> None:
    first = commit(hub)
    assert main(["train", "mine.yaml"]) == 0
    for name in ("me/tiny", "me/bias"):
        move(hub, name)
    hub.asked.clear()
    assert main(["train", *words]) == 0
    assert "going on with" in capsys.readouterr().err
    assert [config.model.path.name for config in trained] == [first, first]
    assert commit(hub) != first
    assert hub.asked == [], "all that it needs lies here"


def test_another_run_takes_what_the_branch_is_now(
    hub: Hub, file: Path, trained: list[RunConfig]
) -> None:
    assert main(["train", "mine.yaml"]) == 0
    move(hub)
    assert main(["train", "mine.yaml", "out=other"]) == 0
    assert trained[1].model.path.name == commit(hub) != trained[0].model.path.name


def test_a_model_that_cannot_be_had_is_refused_before_a_run_is_made(
    hub: Hub, file: Path, tmp_path: Path, trained: list[RunConfig], capsys: Capture
) -> None:
    hub.models["me/tiny"].private = True
    assert main(["train", str(file)]) == 2
    assert "  - model.path: me/tiny@main: no such folder, and no such" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert trained == []


def test_what_is_wrong_with_a_model_shows_after_it_was_fetched(
    hub: Hub, file: Path, tmp_path: Path, trained: list[RunConfig], capsys: Capture
) -> None:
    assert main(["train", str(file), "rollout.tensor_parallel=5"]) == 2
    assert "  - rollout.tensor_parallel = 5: the model has" in capsys.readouterr().err
    assert "model.safetensors" in hub.files_sent()
    assert not (tmp_path / "run").exists()


def test_a_plan_takes_the_size_of_a_model_that_was_fetched(
    hub: Hub, file: Path, trained: list[RunConfig], capsys: Capture
) -> None:
    words = ["plan", str(file), "--gpus", "0", "--gpu-memory", "0", "--host-memory", "16"]
    assert main(words) == 2
    assert "me/tiny" in capsys.readouterr().err
    assert main(["train", str(file)]) == 0
    hub.asked.clear()
    assert main(words) == 0
    assert hub.asked == []


def test_ask_and_evaluate_are_given_the_folder(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    hub.add("me/tiny", SHIPPED_BASE)
    given: list[Path] = []

    def run(model: Any, *_: object) -> dict[str, Any]:
        given.append(getattr(model, "model", model))
        return {"thinking": "", "answer": "A"} | {"left_out": {}, "unanswered": 0}

    monkeypatch.setattr("cluster.verbs.ask.run", run)
    monkeypatch.setattr("cluster.verbs.evaluate.run", run)
    monkeypatch.setattr("videothinker.cli.answering._scores", lambda result: "")
    assert main(["ask", "--model", "me/tiny", "--video", "clip.mp4", "?"]) == 0
    files = ["--data", "q.json", "--videos", "v", "--out", "o", "--benchmark", "mmvu"]
    assert main(["evaluate", "--model", "me/tiny", *files]) == 0
    assert [folder.name for folder in given] == [commit(hub)] * 2
    assert main(["ask", "--model", "me/other", "--video", "clip.mp4", "?"]) == 2
    assert "ask: me/other: no such folder, and no such model on the Hub" in capsys.readouterr().err


def test_a_push_ends_with_where_it_is(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    shutil.copytree(SHIPPED_BASE, tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("---\ntags: [a]\n---\n")
    (tmp_path / "model" / "notes.md").write_text("mine\n")
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert main(["push", "model", "me/new", "--private"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{hub.address}/me/new\ncommit {commit(hub, 'me/new')}\n"
    assert "left out, no part of a model: notes.md" in said.err
    assert "names no license" in said.err
    assert hub.models["me/new"].private
    monkeypatch.setenv("HF_TOKEN", READER)
    assert main(["push", "model", "me/new"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
