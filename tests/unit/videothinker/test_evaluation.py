"""Benchmark scores, their intervals, and the shortcut diagnosis."""

from pathlib import Path

import pytest

from videothinker.data.store import write_questions
from videothinker.errors import InputError, NotBuilt
from videothinker.evaluation import diagnose, load, score, wilson
from videothinker.types import Question


def question(answer: str, category: str = "observational") -> Question:
    return Question(
        id=answer, video="v", text="?", options=(("A", "a"),), answer=answer, category=category
    )


def says(answer: str) -> str:
    return f"<think>x</think> <answer>{answer}</answer>"


def test_clevrer_is_loaded_from_prepared_questions(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.parquet", [question("A")])
    assert load("clevrer", tmp_path / "questions.parquet") == [question("A")]


@pytest.mark.parametrize("name", ["validation.json", "."])
def test_raw_clevrer_files_are_refused_with_the_command_that_prepares_them(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match="videothinker prepare clevrer"):
        load("clevrer", tmp_path / name)


def test_a_benchmark_of_a_later_version_is_not_built_yet() -> None:
    with pytest.raises(NotBuilt, match="'mmvu' is not built yet"):
        load("mmvu", "x.json")


def test_an_unknown_benchmark_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'clevrer'"):
        load("clevr", "x.parquet")
    with pytest.raises(InputError, match="Did you mean 'videomme'"):
        score("video-mme-long", [], [])


@pytest.mark.parametrize(
    ("completion", "reference", "official"),
    [
        (says("A,C"), 1, 1),
        (says("\nA,C "), 1, 1),
        ("A,C", 1, 1),
        (says("C,A"), 0, 1),
        (says("A, C"), 0, 1),
        (says("A"), 0, 0),
        (says("A,C,D"), 0, 0),
        ("<answer>A,C</answer><answer>B</answer>", 1, 1),
        (says(""), 0, 0),
        ("", 0, 0),
    ],
)
def test_reference_scoring_compares_strings_and_official_scoring_sets(
    completion: str, reference: float, official: float
) -> None:
    for scoring, expected in (("reference", reference), ("official", official)):
        assert score("clevrer", [question("A,C")], [completion], scoring)["accuracy"] == expected  # type: ignore[arg-type]


def test_scores_are_split_by_category() -> None:
    questions = [question("A"), question("B"), question("C", "inferential")]
    result = score("clevrer", questions, [says("A"), says("C"), says("C")])
    assert (result["accuracy"], result["n"]) == (2 / 3, 3)
    split = {name: (part["accuracy"], part["n"]) for name, part in result["by_category"].items()}
    assert split == {"observational": (0.5, 2), "inferential": (1.0, 1)}


def test_completions_must_match_the_questions_in_number() -> None:
    with pytest.raises(InputError, match="1 for 2 questions"):
        score("clevrer", [question("A")] * 2, ["A"])


def test_an_unknown_scoring_is_refused() -> None:
    with pytest.raises(InputError, match="neither 'reference' nor 'official'"):
        score("clevrer", [], [], "strict")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_matches_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson(correct, n) == pytest.approx((low, high), abs=1e-4)


def test_nothing_counted_could_be_any_share() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_shortcut_gap_is_observational_minus_inferential_accuracy() -> None:
    questions = [question("A")] * 4 + [question("A", "inferential")] * 2
    completions = [says("A")] * 3 + ["B"] + [says("A"), says("B")]
    result = diagnose(questions, completions)
    assert result["observational"]["mean"] == 0.75
    assert result["inferential"]["mean"] == 0.5
    assert result["overall"]["n"] == 6
    assert result["format"]["mean"] == pytest.approx(5 / 6)
    assert result["shortcut_gap"] == 0.25
    low, high = wilson(3, 4)
    assert (result["observational"]["low"], result["observational"]["high"]) == (low, high)


def test_without_one_kind_there_is_no_gap() -> None:
    result = diagnose([question("A")], [says("A")])
    assert result["shortcut_gap"] is None
    assert result["inferential"] == {"mean": None, "low": 0.0, "high": 1.0, "n": 0}
