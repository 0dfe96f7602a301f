"""What a quickstart that is finished shows, and which base one begins with."""

from pathlib import Path
from typing import Any

import pytest
from evaluated_models import model
from validation_answers import by_letters, keep, question

from cluster.verbs import quickstart
from videothinker.cli.main import main
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.run.directory import RunDirectory

ROOT = Path(__file__).parents[4]
QUESTIONS = [question("i0", "inferential"), question("i1", "inferential")]


def finished(out: Path) -> Path:
    config = quickstart.quickstart_config(out, 1)
    run = RunDirectory.create(out, to_yaml(config))
    assert config.data.validation is not None
    config.data.validation.parent.mkdir(parents=True)
    write_questions(config.data.validation, QUESTIONS)
    run.summary({"finished": 1.0, "models": [model("base", 80, 30), model("cdpo", 90, 60)]})
    return run.path


def test_its_configuration_is_the_one_of_configs() -> None:
    assert quickstart.CONFIG == ROOT / "configs/quickstart.yaml"


def test_a_quickstart_ends_with_its_table_an_example_and_where_the_page_is(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    for name, said in by_letters(QUESTIONS, {"base": "BB", "cdpo": "AA"}).items():
        keep(run, name, said)
    table, told, page = quickstart.run(run, 1).split("\n\n")
    assert "observational" in table
    assert told.splitlines()[1:] == [
        "What happens in i0? Right: A. one thing",
        "  base  wrong, B: so it is",
        "  cdpo  right, A: so it is",
    ]
    assert page == str(run / "report.html")


def test_a_quickstart_whose_answers_are_gone_still_shows_its_table(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    table, page = quickstart.run(run, 1).split("\n\n")
    assert "cdpo" in table
    assert page == str(run / "report.html")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Family, and whether a base is trained, of each pipeline that would have been run."""
    seen: list[tuple[str, bool]] = []

    def pipeline(
        config: RunConfig, directory: RunDirectory, family: str, retrain: bool
    ) -> dict[str, Any]:
        seen.append((family, retrain))
        return {"models": [model("base", 80, 30), model("cdpo", 90, 60)]}

    monkeypatch.setattr(quickstart, "pipeline", pipeline)
    return seen


@pytest.mark.parametrize(
    ("words", "trained"),
    [
        ([], ("qwen2_5_vl", False)),
        (["--retrain"], ("qwen2_5_vl", True)),
        (["--family", "qwen3_vl"], ("qwen3_vl", True)),
    ],
)
def test_a_base_is_trained_where_that_is_asked_for_or_none_comes_with_the_package(
    tmp_path: Path, asked: list[tuple[str, bool]], words: list[str], trained: tuple[str, bool]
) -> None:
    assert main(["quickstart", "--out", str(tmp_path / "run"), *words]) == 0
    assert asked == [trained]


def test_a_quickstart_does_not_go_on_with_a_base_of_another_family(
    tmp_path: Path, mini_base: Path, asked: list[tuple[str, bool]]
) -> None:
    place = tmp_path / "run" / "inputs"
    place.mkdir(parents=True)
    (place / "base").symlink_to(mini_base)
    with pytest.raises(InputError, match="base: is a qwen2_5_vl, and --family is qwen3_vl"):
        quickstart.run(tmp_path / "run", 1, "qwen3_vl")
    assert asked == []


def test_the_configuration_is_one_for_a_base_of_another_family(
    tmp_path: Path, mini_base_qwen3: Path, mini_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "run" / "inputs"
    inputs.mkdir(parents=True)
    (inputs / "base").symlink_to(mini_base_qwen3)
    (inputs / "videos").symlink_to(mini_world / "raw" / "videos")
    for split in ("train", "validation"):
        (inputs / split).symlink_to(mini_world)
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(quickstart.quickstart_config(tmp_path / "run", 1, "qwen3_vl")))
    assert main(["train", str(file), "--dry-run"]) == 0
    assert main(["plan", str(file), "--host-memory", "16"]) == 0
    assert "cpu: " in capsys.readouterr().out
