"""Two models on the same questions, in a comparison."""

import json
from pathlib import Path

import pytest
from results_of import Results, result

from videothinker.errors import InputError
from videothinker.evaluation.compare import compare


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def marked(folder: Path, earned: list[float | None], questions: str = "0123456789") -> None:
    marks = {"questions": questions, "categories": ["x", "y"] * (len(earned) // 2)}
    (folder / "marks.json").write_text(
        json.dumps(marks | {"reference": earned, "official": earned})
    )


def test_models_are_compared_on_the_questions_that_both_were_asked(results: Results) -> None:
    marked(results.add(result("models/base", questions="0123456789")), [1, 0, 0, 0, 1, None])
    marked(results.add(result(questions="0123456789")), [1, 1, 1, 0, 0, 1])
    results.add(result("models/other", questions="0123456789"))  # of an earlier version: no marks
    [pair] = compare(results.paths).as_dict()["pairs"]
    assert (pair["first"], pair["second"]) == ("base", "cdpo (runs/cdpo)")
    assert (pair["whole"]["n"], pair["whole"]["gained"], pair["whole"]["lost"]) == (5, 2, 1)
    assert pair["by_category"]["y"]["difference"] == pytest.approx(1 / 2)
    assert "cdpo (runs/cdpo) minus base" in compare(results.paths).text()


def test_marks_of_other_questions_are_not_compared(results: Results) -> None:
    marked(results.add(result("models/base", questions="0123456789")), [1.0] * 4)
    marked(results.add(result(questions="0123456789")), [1.0] * 4, questions="9")
    assert compare(results.paths).as_dict()["pairs"] == []


def test_damaged_marks_are_refused_and_not_passed_over(results: Results) -> None:
    (results.add(result(questions="0123456789")) / "marks.json").write_text("{")
    with pytest.raises(InputError, match=r"marks\.json: cannot be read"):
        compare(results.paths)
