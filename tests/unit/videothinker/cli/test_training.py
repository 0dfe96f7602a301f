"""What training asks for before it begins."""

from pathlib import Path

import pytest

from videothinker.cli.main import main

CDPO = str(Path(__file__).parents[4] / "configs" / "cdpo.yaml")


def test_dry_run_of_a_paper_configuration_passes_and_names_what_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", CDPO, "--dry-run", "stages.0.steps=7"]) == 0
    said = capsys.readouterr()
    assert "steps: 7" in said.out
    assert "warning: model.path: no model" in said.err
    assert "hf download Qwen/Qwen2.5-VL-3B-Instruct" in said.err
    assert list(tmp_path.iterdir()) == [], "a dry run leaves nothing behind"


def test_training_without_its_files_is_refused_with_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", CDPO]) == 2
    said = capsys.readouterr()
    assert "  - model.path: no model" in said.err
    assert "hf download Qwen/Qwen2.5-VL-3B-Instruct" in said.err
    assert said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a configuration file is needed and none was given"),
        ([CDPO, "b.yaml"], "b.yaml: No such file"),
        (["no.yaml"], "no.yaml: No such file"),
        (["--resume", "nowhere"], "takes the folder of a run"),
        ([CDPO, "--resume", "nowhere"], "leave"),
        ([CDPO, "--dry"], "does not know --dry"),
    ],
)
def test_train_explains_what_it_needs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words]) == 2
    assert said in capsys.readouterr().err
