"""What a quickstart that is finished shows."""

from pathlib import Path

from evaluated_models import model
from validation_answers import by_letters, keep, question

from cluster.verbs import quickstart
from videothinker.config.loading import to_yaml
from videothinker.data.questions import write_questions
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
