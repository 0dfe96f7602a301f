"""VSI-Bench: letters and numbers from one file, and what a number that comes near is worth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.scores import load

Save = Callable[..., Path]


def row(**changed: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "dataset": "arkitscenes",
        "scene_name": "41069025",
        "question_type": "object_rel_direction_easy",
        "question": "Is the tv left or right?",
        "ground_truth": "B",
        "options": ["A. left", "B. right"],
        **changed,
    }


def number(written: str = "10") -> dict[str, Any]:
    return row(question_type="object_counting", ground_truth=written, options=None)


def test_types_of_direction_are_parts_of_one_task(save: Save) -> None:
    (question,) = load("vsi-bench", save([row()]))
    assert (question.id, question.category) == ("7", "object_rel_direction/easy")
    assert question.video == "VSI-Bench/arkitscenes/41069025.mp4"
    assert (question.options, question.answer) == ((("A", "left"), ("B", "right")), "B")


def test_a_question_for_a_number_has_no_options(save: Save) -> None:
    (question,) = load("vsi-bench", save([number("2.5")]))
    assert (question.kind, question.options, question.answer) == ("number", (), "2.5")
    assert question.category == "object_counting"


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        (number("many"), "ground_truth: 'many' is not a number above 0"),
        (number("0"), "ground_truth: '0' is not a number above 0"),
        (number("nan"), "ground_truth: 'nan' is not a number above 0"),
        (row(question_type="chess"), "question_type: 'chess' is not one of VSI-Bench's types"),
        (row(question_type="object_rel_direction_x"), "question_type: 'object_rel_direction_x'"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    save: Save, record: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=f"record 1: {complaint}"):
        load("vsi-bench", save([record]))


@pytest.mark.parametrize(
    ("completion", "worth"),
    [
        ("10", 1.0),
        ("10.0 meters", 1.0),
        ("<think>5</think>9.", 0.9),
        ("12", 0.6),
        ("15", 0.1),
        ("15.1", 0.0),
        ("about 10", 0.0),
        ("ten", 0.0),
        ("nan", 0.0),
    ],
)
def test_a_number_is_worth_the_share_of_the_distances_it_keeps_within(
    save: Save, completion: str, worth: float
) -> None:
    (question,) = load("vsi-bench", save([number()]))
    assert BY_NAME["vsi-bench"].rule(completion, question) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("completion", "right"), [("B", 1), ("b. right", 1), ("(B)", 0), ("The answer is B", 0)]
)
def test_the_first_word_is_the_letter(save: Save, completion: str, right: float) -> None:
    (question,) = load("vsi-bench", save([row()]))
    assert BY_NAME["vsi-bench"].rule(completion, question) == right
