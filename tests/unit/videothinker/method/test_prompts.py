"""The prompts, held against the reference's strings."""

from dataclasses import replace
from typing import Any

import pytest

from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.rules import equals_solution
from videothinker.method.prompts import asked, direct_text, messages, run_text, training_text
from videothinker.types import Question

QUESTION = Question(
    id="video_00000/q0",
    video="video_00000.mp4",
    text="What will happen without the red cube?",
    options=(("A", "The cube and the sphere collide"), ("B", "The sphere collides with the cube")),
    answer="A",
)


def test_training_text_is_problem_options_and_suffix_after_two_spaces() -> None:
    assert training_text(QUESTION) == (
        "What will happen without the red cube?\n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube"
        "  Output the thinking process in <think> </think> and final answer (letters separated "
        "by , if multiple) in <answer> </answer> tags."
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"kind": "choice"}, "only the letter of the correct option within"),
        ({}, "only the letters of all correct options, separated by , if multiple, within"),
        ({"kind": "number", "answer": "4"}, "only the answer (a number) within"),
    ],
)
def test_direct_text_asks_for_the_answer_alone_and_says_what_one_is(
    changes: dict[str, Any], wanted: str
) -> None:
    assert direct_text(replace(QUESTION, **changes)) == (
        "What will happen without the red cube?\n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube\n"
        f"Answer straight away, without thinking first: write {wanted} <answer> </answer> tags."
    )


def test_a_run_asks_as_a_question_says_and_to_think_where_none_does() -> None:
    assert run_text(QUESTION) == training_text(QUESTION)
    assert run_text(replace(QUESTION, wording="direct")) == direct_text(QUESTION)
    assert direct_text(QUESTION) == asked(QUESTION, "direct")


EVALUATION = (
    "\nPlease think about this question as if you were a human pondering deeply. Engage in an "
    "internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', "
    "'let's break it down', etc, or other natural language thought expressions It's encouraged to "
    "include self-reflection or verification in the reasoning process. Provide your detailed "
    "reasoning between the <think> and </think> tags, and then give your final answer between the "
    "<answer> and </answer> tags. Please provide only the single option letter (e.g., A, B, C, D, "
    "etc.) within the <answer> </answer> tags."
)


def test_clevrer_is_evaluated_on_the_problem_alone() -> None:
    assert asked(QUESTION, "evaluation", "clevrer") == (
        "What will happen without the red cube?\n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube" + EVALUATION
    )


@pytest.mark.parametrize("benchmark", ["mmvu", "mvbench", "tempcompass", "videomme"])
def test_the_other_evaluations_set_options_after_a_word_without_a_new_line(benchmark: str) -> None:
    assert asked(QUESTION, "evaluation", benchmark) == (
        "What will happen without the red cube?Options:\n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube\n" + EVALUATION
    )


def test_video_holmes_has_a_space_before_its_options() -> None:
    assert asked(QUESTION, "evaluation", "video-holmes") == (
        "What will happen without the red cube? \n"
        "A. The cube and the sphere collide\n"
        "B. The sphere collides with the cube" + EVALUATION
    )


@pytest.mark.parametrize("benchmark", ["clevrer", "mmvu"])
def test_the_training_wording_is_that_of_training_for_every_benchmark(benchmark: str) -> None:
    assert asked(QUESTION, "training", benchmark) == training_text(QUESTION)


def test_the_direct_wording_asks_for_no_thinking_and_for_several_letters_in_clevrer_only() -> None:
    for benchmark, several in (("clevrer", True), ("mmvu", False)):
        text = asked(QUESTION, "direct", benchmark)
        assert "<think>" not in text
        assert "<answer> </answer>" in text
        assert ("letters of all correct options" in text) is several


@pytest.mark.parametrize("benchmark", BY_NAME)
def test_an_answer_as_the_direct_wording_asks_for_counts_in_both_scorings(benchmark: str) -> None:
    answer = "<answer>A</answer>"
    assert equals_solution(answer, QUESTION)
    assert BY_NAME[benchmark].rule(answer, QUESTION)


def test_messages_are_one_user_turn_with_the_video_before_the_text() -> None:
    (turn,) = messages("What?")
    assert turn["role"] == "user"
    assert turn["content"] == [{"type": "video"}, {"type": "text", "text": "What?"}]


def test_what_is_shown_has_its_places_in_its_order() -> None:
    (turn,) = messages("What?", ["picture", "video"])
    assert turn["content"] == [
        {"type": "image"},
        {"type": "video"},
        {"type": "text", "text": "What?"},
    ]
    (turn,) = messages("What?", [])
    assert turn["content"] == [{"type": "text", "text": "What?"}]
