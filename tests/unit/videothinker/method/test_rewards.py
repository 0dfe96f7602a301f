"""Every row of the table of edge cases measured on the reference's rewards, and the strict ones."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from videothinker.config.rewards import RewardName
from videothinker.method.rewards import (
    REWARDS,
    direct_format,
    format_reward,
    soft_accuracy,
    strict_accuracy,
    strict_format,
)
from videothinker.types import Question


def answer(text: str) -> str:
    return f"<think>because</think><answer>{text}</answer>"


def asked(right: str) -> Question:
    return Question(id="q", video="v.mp4", text="Which?", options=(), answer=right)


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


@pytest.mark.parametrize("reward", [soft_accuracy, strict_accuracy])
def test_the_solution_may_carry_tags(reward: Callable[[str, str], float]) -> None:
    assert reward(answer("A,C"), "<answer>A,C</answer>") == 1.0


@pytest.mark.parametrize(
    ("completion", "solution", "expected"),
    [("1/2", "0.5", 0.0), (answer("$A$"), "A", 0.0), (answer("$A$"), "$A$", 1.0)],
)
def test_formulas_are_compared_as_written(completion: str, solution: str, expected: float) -> None:
    assert soft_accuracy(completion, solution) == expected


ACCEPTED = [
    "<think>x</think><answer>A</answer>",
    "<think>x</think>\n\n<answer>A</answer>",
    "<think></think><answer></answer>",
    "Sure: <think>x</think><answer>A</answer>",
    "<think>x</think><answer>A</answer> !\n!",
    "<think>x</think></think><answer>A</answer>",
    "<think>x</think><answer>A</answer></answer>",
    "<think>x</think><answer>A</answer> so A </answer>",
    "<think>two\nlines</think><answer>A,\nC</answer>",
]
REFUSED = [
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
    "<answer>A</answer><think>x</think>",
    "<THINK>x</THINK><ANSWER>A</ANSWER>",
]


@pytest.mark.parametrize("completion", ACCEPTED)
def test_layouts_the_reference_accepts(completion: str) -> None:
    assert format_reward(completion) == 1.0


@pytest.mark.parametrize("completion", REFUSED)
def test_layouts_the_reference_refuses(completion: str) -> None:
    assert format_reward(completion) == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        "<think>x</think><answer>A</answer>",
        " \n<think>\nx\n</think>\n\n<answer>\nA\n</answer>\n ",
        "<think>two\nlines</think><answer>A,\nC</answer>",
    ],
)
def test_the_strict_layout(completion: str) -> None:
    assert strict_format(completion) == 1.0


@pytest.mark.parametrize(
    "completion",
    [
        *REFUSED,
        "<think></think><answer>A</answer>",
        "<think> \n</think><answer>A</answer>",
        "<think>x</think><answer> </answer>",
        "Sure: <think>x</think><answer>A</answer>",
        "<think>x</think><answer>A</answer>!",
        "<think>x</think></think><answer>A</answer>",
        "<think>x</think><answer>A</answer></answer>",
        "<think>x</think><answer>A</answer> so A </answer>",
    ],
)
def test_everything_else_is_refused_by_the_strict_layout(completion: str) -> None:
    assert strict_format(completion) == 0.0


@pytest.mark.parametrize("text", ["A,C", "C,A", "A,A,C", "A , C", "A,\nC", "\nA,C\n"])
def test_strict_accuracy_reads_a_set(text: str) -> None:
    assert strict_accuracy(answer(text), "A,C") == 1.0


@pytest.mark.parametrize("text", ["A", "A,A", "A,C,D", "B", "a,c", "(A),(C)", "A,C.", "A,C,", ""])
def test_strict_accuracy_pays_nothing_for_less_more_or_otherwise_written(text: str) -> None:
    assert strict_accuracy(answer(text), "A,C") == 0.0


@pytest.mark.parametrize(
    "completion",
    [
        "A,C",
        "<answer>A,C",
        "A,C</answer>",
        "</answer>A,C<answer>",
        "<ANSWER>A,C</ANSWER>",
        "<answer>A,C</answer><answer>A,C</answer>",
        "<answer>A,C</answer> or rather <answer>B</answer>",
        "<answer>A,C</answer></answer>",
        "<answer><answer>A,C</answer>",
    ],
)
def test_strict_accuracy_pays_only_for_exactly_one_answer_block(completion: str) -> None:
    assert strict_accuracy(completion, "A,C") == 0.0


@pytest.mark.parametrize("completion", ["", answer(""), answer(" "), answer(",")])
def test_strict_accuracy_never_pays_for_an_empty_answer(completion: str) -> None:
    assert strict_accuracy(completion, "") == 0.0


@pytest.mark.parametrize("solution", ["A", "A,C", "A,B,C", ""])
def test_strict_rewards_never_pay_where_the_reference_does_not(solution: str) -> None:
    texts = ["A", "C,A", "A,B,C", "a", "(A)", "", "A,", "AC", "A\nC", "<answer>A"]
    for completion in [*ACCEPTED, *REFUSED, *texts, *map(answer, texts)]:
        assert strict_accuracy(completion, solution) <= soft_accuracy(completion, solution)
        assert strict_format(completion) <= format_reward(completion)


def test_every_name_of_the_configuration_is_a_reward_of_completion_and_solution() -> None:
    paid = {name: reward(answer("A"), asked("A")) for name, reward in REWARDS.items()}
    assert paid == dict.fromkeys(get_args(RewardName), 1.0)


def test_a_reward_of_the_layout_does_not_look_at_the_solution() -> None:
    assert [REWARDS[name](answer("A"), asked("B")) for name in ("format", "strict_format")] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("completion", "paid"),
    [
        ("<answer>A</answer>", 1),
        (" \n<answer>A,C</answer>\n", 1),
        ("<answer></answer>", 0),
        ("It is <answer>A</answer>", 0),
        ("<answer>A</answer>.", 0),
        ("<answer>A</answer><answer>B</answer>", 0),
        ("<think>x</think><answer>A</answer>", 0),
        ("<answer>A</answer><think>x</think>", 0),
        ("<answer><think>x</think>A</answer>", 0),
        ("<answer>A", 0),
        ("A", 0),
    ],
)
def test_asked_for_an_answer_alone_both_layouts_are_an_answer_block_alone(
    completion: str, paid: float
) -> None:
    assert direct_format(completion) == paid
    direct = replace(asked("A"), wording="direct")
    for name in ("format", "strict_format"):
        assert REWARDS[name](completion, direct) == paid


def test_each_question_is_paid_for_the_layout_that_it_asked_for() -> None:
    thinking, direct = asked("A"), replace(asked("A"), wording="direct")
    for name in ("format", "strict_format"):
        assert REWARDS[name](answer("A"), thinking) == 1
        assert REWARDS[name](answer("A"), direct) == 0
        assert REWARDS[name]("<answer>A</answer>", thinking) == 0
