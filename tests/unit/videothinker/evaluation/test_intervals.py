"""Intervals and baselines, against figures worked out by hand."""

import random

import pytest

from videothinker.evaluation.intervals import (
    chance,
    majority,
    mean_of_shares,
    paired,
    per_option,
    share,
    wilson,
)
from videothinker.types import Question


def question(answer: str, options: int = 2) -> Question:
    letters = tuple((letter, letter) for letter in "ABCDEF"[:options])
    return Question(id="q", video="v", text="?", options=letters, answer=answer)


def marked(right: int, wrong: int, answer: str = "A") -> list[tuple[Question, bool]]:
    return [(question(answer), True)] * right + [(question(answer), False)] * wrong


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
    empty = share([])
    assert (empty["accuracy"], empty["chance"], empty["majority"]) == (None, None, None)
    assert mean_of_shares({}) == empty


def test_a_mean_over_tasks_counts_each_task_once() -> None:
    result = mean_of_shares({"small": marked(2, 0), "large": marked(0, 8)})
    assert (result["accuracy"], result["n"]) == (0.5, 10)


def test_tasks_alike_give_the_interval_of_their_union() -> None:
    """Smoothed 26/52 in each: variance 0.25 / 50 / 4, so 200 questions count as 200."""
    result = mean_of_shares({name: marked(25, 25) for name in "abcd"})
    assert (result["low"], result["high"]) == pytest.approx(wilson(100, 200))


def test_weighted_groups_are_those_of_the_mean_and_of_its_baselines() -> None:
    groups = {"a": marked(1, 0), "b": marked(0, 1, "B")}
    result = mean_of_shares(groups, {"a": 3.0})
    assert (result["accuracy"], result["majority"]) == (0.75, 0.75)
    heavier = mean_of_shares({"a": marked(9, 9), "b": marked(1, 1)}, {"a": 99.0})
    assert heavier["high"] < mean_of_shares({"a": marked(9, 9), "b": marked(1, 1)})["high"]


def test_shares_of_right_give_an_interval_as_wide_as_if_all_were_right_or_wrong() -> None:
    near = share([(question("A"), 0.5)] * 10)
    assert (near["accuracy"], near["low"], near["high"]) == (0.5, *wilson(5, 10))


def test_a_text_is_guessed_by_nobody() -> None:
    assert chance([[question("A"), question("12", options=0)]]) == 0.25


def test_a_small_task_widens_the_interval_of_the_mean() -> None:
    even = mean_of_shares({"a": marked(50, 50), "b": marked(50, 50)})
    uneven = mean_of_shares({"a": marked(99, 99), "b": marked(1, 1)})
    assert uneven["high"] - uneven["low"] > 2 * (even["high"] - even["low"])


def test_tasks_answered_all_right_are_not_certain() -> None:
    """Smoothed 6/7 in each of two tasks of 5, so 10 questions count as 10."""
    result = mean_of_shares({"a": marked(5, 0), "b": marked(5, 0)})
    assert (result["low"], result["high"]) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_uneven_tasks_count_as_many_questions_as_their_variance_is_worth() -> None:
    """Smoothed 6/7 and 1/2, variance (6/49/5 + 1/4/10) / 4: as many as 17.63 questions."""
    result = mean_of_shares({"a": marked(5, 0), "b": marked(5, 5)})
    expected = wilson(0.75 * 17.629, 17.629)
    assert (result["low"], result["high"]) == pytest.approx(expected, abs=1e-4)


def test_chance_is_the_mean_of_one_over_the_number_of_options() -> None:
    assert chance([[question("A", 1), question("A", 2), question("B", 4)]]) == pytest.approx(
        (1 + 1 / 2 + 1 / 4) / 3
    )


def test_chance_over_tasks_is_a_mean_of_means() -> None:
    groups = [[question("A", 2)], [question("A", 4), question("B", 4)]]
    assert chance(groups) == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_where_several_letters_are_correct_a_coin_for_each_option_may_guess_better() -> None:
    """One letter of three: 1/3 for the first question, never right for the others. Coins: 1/8."""
    assert chance([[question("A", 3), question("B,C", 3)]]) == pytest.approx(1 / 6)
    assert chance([[question("A", 3), *[question("B,C", 3)] * 2, question("", 3)]]) == 1 / 8


def test_majority_is_the_best_constant_answer_to_these_questions() -> None:
    assert majority([[question(answer) for answer in ("A", "B", "B", "A,B")]]) == 0.5
    groups = [[question("A")], [question("B")] * 3, [question("A"), question("B")]]
    assert majority(groups) == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_options_are_counted_one_by_one() -> None:
    result = per_option([(True, True), (False, True), (False, False), (False, True)])
    assert (result["accuracy"], result["n"]) == (0.75, 4)
    assert (result["chance"], result["majority"]) == (0.5, 0.75)
    assert (result["low"], result["high"]) == wilson(3, 4)


def test_two_models_on_the_same_questions_by_hand() -> None:
    first, second = [1.0] * 6 + [0.0] * 4, [1.0] * 5 + [0.0] + [1.0] * 3 + [0.0]
    found = paired(first, second)
    assert (found["n"], found["gained"], found["lost"]) == (10, 3, 1)
    assert found["difference"] == pytest.approx(0.2)
    assert found["p"] == pytest.approx(2 * (1 + 4) / 2**4)
    centre, half = 2 / 12, 1.959964 * (5 - 4 / 12) ** 0.5 / 12
    assert (found["low"], found["high"]) == pytest.approx((centre - half, centre + half))


def test_models_that_answer_alike_differ_by_nothing_but_their_interval() -> None:
    found = paired([1.0, 0.0] * 50, [1.0, 0.0] * 50)
    assert (found["difference"], found["p"]) == (0.0, 1.0)
    assert -0.03 < found["low"] < 0 < found["high"] < 0.03
    assert paired([], [])["n"] == 0


def test_the_paired_interval_covers_the_truth() -> None:
    luck, hits = random.Random(7), 0
    for _ in range(1000):
        pairs = [luck.choices([(1, 1), (0, 1), (1, 0), (0, 0)], [5, 2, 1, 2])[0] for _ in range(80)]
        found = paired([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
        hits += found["low"] <= 0.1 <= found["high"]
    assert 930 <= hits <= 975
