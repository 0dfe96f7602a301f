"""What is a folder, and what a model of the Hub."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from builders import run_config

from videothinker.config.hub_names import hub_source, is_hub_name, name_parts
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STAGE = {"name": "only", "questions": "q.parquet"}
NAME = "Qwen/Qwen2.5-VL-3B-Instruct@main"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(folder: Path, path: str = NAME, **other: object) -> RunConfig:
    """As from a file."""
    return run_config(folder, STAGE, model={"path": path}, **other)


@pytest.mark.parametrize(
    "text", ["Qwen/Qwen2.5-VL-3B-Instruct", NAME, f"me/own@{COMMIT}", "me/own@refs/pr/3", "0/a_"]
)
def test_an_owner_and_a_name_are_the_hubs(folder: Path, text: str) -> None:
    assert is_hub_name(text)


@pytest.mark.parametrize(
    "text",
    [
        *("models/Qwen2.5-VL-3B-Instruct", "./me/own", "../me", "/me/own", "~/own", "own"),
        *("me/own/x", "me/own@", "me/own@a@b", "me/.own", "me /own", "me/own\n", ""),
    ],
)
def test_everything_else_is_a_path(folder: Path, text: str) -> None:
    assert not is_hub_name(text)


def test_a_folder_of_that_name_here_comes_first(folder: Path) -> None:
    (folder / "me" / "own").mkdir(parents=True)
    assert loaded(folder, "me/own").model.path == folder / "me" / "own"
    assert loaded(folder, "me/other").model.path == Path("me/other")


def test_a_point_says_that_a_folder_is_meant(folder: Path) -> None:
    assert loaded(folder, "./me/own").model.path == folder / "me" / "own"


def test_a_name_has_a_repository_and_a_revision() -> None:
    assert name_parts("me/own") == ("me/own", "main")
    assert name_parts("me/own@refs/pr/3") == ("me/own", "refs/pr/3")


def test_a_folder_of_the_cache_says_what_it_is() -> None:
    cache = Path("/home/me/.cache/huggingface/hub")
    model = cache / "models--Qwen--Qwen2.5-VL-3B-Instruct" / "snapshots" / COMMIT
    assert hub_source(model) == f"Qwen/Qwen2.5-VL-3B-Instruct@{COMMIT}"
    assert hub_source(cache / "datasets--me--own" / "snapshots" / COMMIT) is None
    assert hub_source(Path("/runs/bias/stages/bias/model")) is None


def test_a_configuration_names_policy_and_anchors_once_each(folder: Path) -> None:
    stages = [
        STAGE | {"name": name, "kl": {"direction": "repel", "anchor": anchor}}
        for name, anchor in {"a": "base", "b": NAME, "c": "me/bias", "d": "me/bias"}.items()
    ]
    config = run_config(folder, *stages, model={"path": NAME})
    assert config.hub_names == [NAME, "me/bias"]
    assert run_config(folder, *stages).hub_names == [NAME, "me/bias"]


def test_an_anchor_that_nobody_uses_is_not_asked_for(folder: Path) -> None:
    stage = STAGE | {"kl": {"direction": "none", "anchor": "me/bias"}}
    assert run_config(folder, stage).hub_names == []


def test_a_run_keeps_what_was_typed_and_what_it_stood_for(folder: Path) -> None:
    config = loaded(folder, pinned={NAME: COMMIT})
    (folder / "config.yaml").write_text(to_yaml(config))
    document = yaml.safe_load((folder / "config.yaml").read_text())
    assert document["model"]["path"] == NAME
    assert document["pinned"] == {NAME: COMMIT}
    assert load_config(folder / "config.yaml") == config


def test_a_pin_that_is_no_commit_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="pattern"):
        loaded(folder, pinned={NAME: "main"})


def test_a_run_does_not_go_on_from_a_folder_that_took_its_models_name(folder: Path) -> None:
    (folder / "config.yaml").write_text(to_yaml(loaded(folder, pinned={NAME: COMMIT})))
    (folder / NAME).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"pinned: {NAME} is no model of this run, or a folder"):
        load_config(folder / "config.yaml")
