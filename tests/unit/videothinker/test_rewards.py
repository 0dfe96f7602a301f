"""Every row of the table of edge cases measured on the reference's rewards."""

import numpy as np
import pytest

from videothinker.errors import InputError
from videothinker.rewards import REWARDS, format_reward, score, soft_accuracy


def answer(text: str) -> str:
    return f"<think>because</think><answer>{text}</answer>"


@pytest.mark.parametrize("text", ["A,C", "C,A", "A,A,C", "A , C", "A,\nC", " A,C ", "\nA,C\n"])
def test_order_duplicates_and_white_space_do_not_change_the_set(text: str) -> None:
    assert soft_accuracy(answer(text), "A,C") == 1.0


@pytest.mark.parametrize(
    ("text", "solution", "expected"),
    [
        ("A", "A,C", 1 / 2),
        ("A,A", "A,C", 1 / 2),
        ("B", "A,B,C", 1 / 3),
        ("A,C", "A,B,C", 2 / 3),
    ],
)
def test_a_subset_earns_its_share_of_the_correct_letters(
    text: str, solution: str, expected: float
) -> None:
    assert soft_accuracy(answer(text), solution) == expected


@pytest.mark.parametrize("text", ["B", "A,B", "A,B,C", "A,C,D"])
def test_one_wrong_letter_earns_nothing(text: str) -> None:
    assert soft_accuracy(answer(text), "A,C") == 0.0


@pytest.mark.parametrize(
    "text",
    ["a", "a,c", "(A)", "A.", "AC", "A;C", "A and C", "A\nC", "A,C.", r"\boxed{A}", "A,", ",A", ""],
)
def test_letters_written_any_other_way_earn_nothing(text: str) -> None:
    assert soft_accuracy(answer(text), "A,C") == 0.0


def test_an_empty_answer_to_an_empty_solution_is_right() -> None:
    assert soft_accuracy(answer(""), "<answer></answer>") == 1.0
    assert soft_accuracy("", "") == 1.0


@pytest.mark.parametrize(("completion", "expected"), [("A", 0.5), ("A,C", 1.0), (" C , A ", 1.0)])
def test_without_tags_the_whole_completion_is_the_answer(completion: str, expected: float) -> None:
    assert soft_accuracy(completion, "A,C") == expected
    assert format_reward(completion) == 0.0


def test_the_first_of_two_answer_blocks_counts() -> None:
    assert soft_accuracy("<answer>A</answer><answer>B</answer>", "A") == 1.0
    assert soft_accuracy("<answer>B</answer><answer>A</answer>", "A") == 0.0


@pytest.mark.parametrize("completion", ["<answer>A", "A</answer>", "<ANSWER>A</ANSWER>"])
def test_unclosed_or_upper_case_tags_earn_nothing(completion: str) -> None:
    assert soft_accuracy(completion, "A") == 0.0


def test_the_solution_may_carry_tags() -> None:
    assert soft_accuracy(answer("A,C"), "<answer>A,C</answer>") == 1.0


def test_a_formula_without_a_letter_is_never_recognised() -> None:
    assert soft_accuracy("1/2", "0.5") == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        "<think>x</think><answer>A</answer>",
        "<think>x</think>\n\n<answer>A</answer>",
        "<think></think><answer></answer>",
        "Sure: <think>x</think><answer>A</answer>",
        "<think>x</think><answer>A</answer> !\n!",
        "<think>x</think></think><answer>A</answer>",
        "<think>x</think><answer>A</answer></answer>",
        "<think>x</think><answer>A</answer> so A </answer>",
        "<think>two\nlines</think><answer>A,\nC</answer>",
    ],
)
def test_layouts_the_reference_accepts(completion: str) -> None:
    assert format_reward(completion) == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "A",
        "<answer>A</answer>",
        "<think>x</think>",
        "<think>x</think> so <answer>A</answer>",
        "<think>x</think><answer>A</answer>.",
        "<think>x</think><answer>A</answer> done",
        "<think>x <answer>A</answer></think>",
        "<think>x</think><answer>A</answer><answer>A</answer>",
        "<think>x</think><think>y</think><answer>A</answer>",
        "<think>x</think><answer>A",
        "<THINK>x</THINK><ANSWER>A</ANSWER>",
    ],
)
def test_layouts_the_reference_refuses(completion: str) -> None:
    assert format_reward(completion) == 0.0


def test_score_returns_one_float32_per_completion_and_name() -> None:
    rewards = score(("soft_accuracy", "format"), [answer("A"), "A,C", "<answer>B"], "A,C")
    assert {name: values.tolist() for name, values in rewards.items()} == {
        "soft_accuracy": [0.5, 1.0, 0.0],
        "format": [1.0, 0.0, 0.0],
    }
    assert all(values.dtype == np.float32 for values in rewards.values())


def test_an_unknown_reward_is_refused_with_the_known_names() -> None:
    with pytest.raises(InputError, match=r"'accuracy' is not a reward.*soft_accuracy, format"):
        score(["accuracy"], ["A"], "A")


def test_every_configured_reward_is_called_with_completion_and_solution() -> None:
    assert {name: reward(answer("A"), "A") for name, reward in REWARDS.items()} == {
        "soft_accuracy": 1.0,
        "format": 1.0,
    }
