"""Benchmark scores, their intervals and baselines, and the shortcut diagnosis."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import videothinker.evaluation
from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.evaluation.intervals import wilson
from videothinker.evaluation.scores import BENCHMARKS, Scoring, diagnose, diagnose_each, load, score
from videothinker.types import Question


def question(answer: str, category: str = "observational", options: int = 4) -> Question:
    letters = tuple((letter, f"text {letter}") for letter in "ABCDEF"[:options])
    return Question(
        id=answer, video="v", text="?", options=letters, answer=answer, category=category
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
    expected: dict[Scoring, float] = {"reference": reference, "official": official}
    for scoring, accuracy in expected.items():
        assert score("clevrer", [question("A,C")], [completion], scoring)["accuracy"] == accuracy


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


@pytest.mark.parametrize("scoring", ["reference", "official"])
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_perfect_answers_score_one_and_constant_ones_their_share(
    benchmark: str, scoring: Scoring
) -> None:
    category = "multi-choice/action" if benchmark == "tempcompass" else ""
    questions = [question(answer, category) for answer in "AABCDDD"]
    perfect = score(benchmark, questions, [says(q.answer) for q in questions], scoring)
    constant = score(benchmark, questions, [says("A")] * 7, scoring)
    assert perfect["accuracy"] == 1.0
    assert constant["accuracy"] == pytest.approx(2 / 7)
    assert (constant["chance"], constant["majority"]) == pytest.approx((1 / 4, 3 / 7))


def test_every_accuracy_has_its_interval_and_its_baselines() -> None:
    questions = [question("A"), question("B", options=2), question("A", "inferential")]
    result = score("mmvu", questions, [says("A")] * 3)
    whole = {"accuracy": 2 / 3, "n": 3, "chance": pytest.approx(1 / 3), "majority": 2 / 3}
    part = {"accuracy": 0.5, "n": 2, "chance": 0.375, "majority": 0.5}
    assert {key: result[key] for key in whole} == whole
    observational = result["by_category"]["observational"]
    assert {key: observational[key] for key in part} == part
    assert (observational["low"], observational["high"]) == wilson(1, 2)


def test_mvbench_is_a_mean_over_tasks_only_in_its_own_scoring() -> None:
    questions = [question("A", "Moving Count")] * 3 + [question("A", "State Change")]
    completions = [says("A")] * 3 + [says("B")]
    official = score("mvbench", questions, completions, "official")
    assert (official["accuracy"], official["tasks"], official["n"]) == (0.5, 2, 4)
    assert score("mvbench", questions, completions)["accuracy"] == 0.75


def test_tempcompass_has_a_score_for_each_task_and_each_dimension() -> None:
    questions = [
        question("A", "yes_no/speed"),
        question("A", "yes_no/order"),
        question("A", "captioning/order"),
    ]
    result = score("tempcompass", questions, [says("A"), says("B"), says("A")], "official")
    tasks = {name: part["accuracy"] for name, part in result["by_category"].items()}
    assert tasks == {"captioning": 1.0, "yes_no": 0.5}
    parts = {name: part["accuracy"] for name, part in result["by_subcategory"].items()}
    assert parts == {"captioning/order": 1.0, "yes_no/order": 0.0, "yes_no/speed": 1.0}
    assert (result["accuracy"], result["tasks"]) == (0.75, 2)


def test_tempcompass_is_also_told_over_questions_and_without_captioning() -> None:
    tasks = ("multi-choice", "multi-choice", "captioning", "yes_no")
    questions = [question("A", f"{task}/action") for task in tasks]
    result = score("tempcompass", questions, [says(x) for x in "ABAB"], "official")
    assert result["accuracy"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert (result["over_questions"]["accuracy"], result["over_questions"]["n"]) == (0.5, 4)
    assert result["without"]["captioning"]["accuracy"] == pytest.approx((0.5 + 0) / 2)
    assert result["without"]["captioning"]["n"] == 3


def test_videomme_is_split_by_duration() -> None:
    questions = [question("A", "short/Counting Problem"), question("B", "long/OCR Problems")]
    result = score("videomme", questions, [says("A")] * 2, "official")
    assert {name: part["accuracy"] for name, part in result["by_category"].items()} == {
        "long": 0.0,
        "short": 1.0,
    }
    assert result["accuracy"] == 0.5


def test_questions_without_a_correct_option_count_in_clevrers_own_scoring_only() -> None:
    questions = [question("A"), question("")]
    completions = [says("B"), says("")]
    assert score("clevrer", questions, completions)["n"] == 1
    official = score("clevrer", questions, completions, "official")
    assert (official["n"], official["accuracy"]) == (2, 0.5)
    assert official["without_correct_option"] == 1


def test_clevrers_own_scoring_also_counts_the_options_one_by_one() -> None:
    """A of {A, C}: A, B, D right and C wrong; what cannot be read gets none of four right."""
    questions = [question("A,C"), question("A,C")]
    result = score("clevrer", questions, [says("A"), says("the ball")], "official")["per_option"]
    assert (result["accuracy"], result["n"]) == (3 / 8, 8)
    assert (result["chance"], result["majority"]) == (0.5, 0.5)


def test_a_user_s_script_finds_load_and_score_in_the_package(tmp_path: Path) -> None:
    write_questions(tmp_path / "questions.parquet", [question("A"), question("B")])
    questions = videothinker.evaluation.load("clevrer", tmp_path / "questions.parquet")
    result = videothinker.evaluation.score("clevrer", questions, ["A", "A"], scoring="official")
    assert result["accuracy"] == 0.5


def test_the_command_line_scores_without_torch() -> None:
    code = "import sys, videothinker.evaluation; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


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


def test_questions_without_a_correct_option_are_no_part_of_the_diagnosis() -> None:
    result = diagnose([question("A"), question("", "")], [says("A"), ""])
    assert (result["overall"]["mean"], result["overall"]["n"]) == (1.0, 1)


def test_each_sort_of_question_is_counted_where_there_are_several() -> None:
    asked = [question("A"), question("A", "inferential")]
    assert not {"by_kind", "by_category"} & {*diagnose(asked, [says("A")] * 2)}
    number = replace(question("4", "counting"), kind="number", options=())
    unsorted = replace(question("4", ""), kind="number", options=())
    result = diagnose([*asked, number, unsorted], [says("A"), says("B"), says("4"), says("5")])
    counts = {name: (one["mean"], one["n"]) for name, one in result["by_kind"].items()}
    assert counts == {"multi": (0.5, 2), "number": (0.5, 2)}
    means = {name: one["mean"] for name, one in result["by_category"].items()}
    assert means == {"observational": 1, "inferential": 0, "counting": 1, "none": 0}


def test_each_wordings_answers_are_judged_apart_and_by_the_layout_it_asked_for() -> None:
    asked = [question("A"), question("B")]
    direct = [replace(one, wording="direct") for one in asked]
    said = {asked[0]: says("A"), asked[1]: says("A"), direct[0]: "<answer>A</answer>"}
    result = diagnose_each(["training", "direct"], [*asked, *direct], said)
    alone = diagnose(asked, [says("A"), says("A")])
    assert {key: value for key, value in result.items() if key != "direct"} == alone
    assert result["direct"] == diagnose(direct, ["<answer>A</answer>", ""])
    assert result["format"]["mean"] == 1.0
    assert result["direct"]["format"]["mean"] == 0.5
    assert diagnose_each(["direct"], direct, said) == result["direct"]


def test_a_question_of_several_categories_counts_in_each_and_once_in_the_whole() -> None:
    questions = [question("A", "reasoning"), question("B", "events + reasoning")]
    result = score("lvbench", questions, ["A", "A"], "official")
    assert {name: (one["n"], one["accuracy"]) for name, one in result["by_category"].items()} == {
        "events": (1, 0.0),
        "reasoning": (2, 0.5),
    }
    assert (result["n"], result["accuracy"]) == (2, 0.5)


def test_vsi_bench_is_a_mean_over_tasks_of_which_one_is_a_mean_of_its_parts() -> None:
    easy, hard = "object_rel_direction/easy", "object_rel_direction/hard"
    number = replace(question("10", "object_counting", options=0), kind="number")
    questions = [question("A", easy), question("A", easy), question("A", easy), question("A", hard)]
    result = score("vsi-bench", [*questions, number], ["A", "A", "A", "B", "12"], "official")
    assert result["by_category"]["object_rel_direction"]["accuracy"] == 0.5
    assert result["by_category"]["object_counting"]["accuracy"] == pytest.approx(0.6)
    assert (result["accuracy"], result["tasks"], result["n"]) == (pytest.approx(0.55), 2, 5)
    assert score("vsi-bench", questions, ["A", "A", "A", "B"])["accuracy"] == 0.75


def test_what_a_guessed_number_is_worth_is_not_known_before_it_is_guessed() -> None:
    number = replace(question("10", "object_counting", options=0), kind="number")
    result = score("vsi-bench", [number], ["10"], "official")
    assert (result["accuracy"], result["chance"], result["majority"]) == (1.0, None, None)
