"""MLVU from the nine files of its development set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.benchmarks.mlvu import STEMS
from videothinker.evaluation.scores import load, read

Save = Callable[..., Path]
KINDS = {"needle": "findNeedle", "sub_scene": "subPlot"}


def row(kind: str = "plotQA", **changed: Any) -> dict[str, Any]:
    return {
        "video": "movie_1.mp4",
        "duration": 246,
        "question": "What colour is it?",
        "candidates": ["Yellow", "Red", "Green", "Blue"],
        "answer": "Red",
        "question_type": kind,
        **changed,
    }


def release(save: Save) -> Path:
    for stem in STEMS:
        task = stem.partition("_")[2]
        record = row(KINDS.get(task, task))
        if stem[0] in "89":
            del record["candidates"]
        path = save([record], f"json/{stem}.json")
    return path.parent


def test_seven_tasks_are_read_and_two_left_out(save: Save) -> None:
    loaded = read("mlvu", release(save))
    assert loaded.left_out == {"sub_scene": 1, "summary": 1}
    assert [question.category for question in loaded.questions] == [
        *("plotQA", "needle", "ego", "count", "order", "anomaly_reco", "topic_reasoning")
    ]
    second = loaded.questions[1]
    assert (second.id, second.video) == ("needle/1", "MLVU/video/2_needle/movie_1.mp4")
    assert second.answer == "B"


def test_of_equal_options_the_last_is_meant(save: Save) -> None:
    (question,) = load("mlvu", save([row(candidates=["Red", "x", "Red", "y"])]))
    assert question.answer == "C"


def test_where_the_right_words_are_no_option_no_letter_is_right(save: Save) -> None:
    (question,) = load("mlvu", save([row(answer="Reddish")]))
    assert question.answer == ""
    assert not any(BY_NAME["mlvu"].rule(letter, question) for letter in ("", ")", *"ABCD"))


def test_an_empty_option_may_be_the_answer_and_a_question_may_be_empty(save: Save) -> None:
    (question,) = load("mlvu", save([row(candidates=["x", ""], answer="", question="")]))
    assert (question.text, question.answer) == ("", "B")


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"answer": 2}, "answer: 2 is not the text of an option"),
        ({"question_type": "chess"}, "question_type: 'chess' is not one of MLVU's nine tasks"),
        ({"candidates": None}, "candidates: the field is missing"),
    ],
)
def test_what_cannot_be_read_is_refused(
    save: Save, changed: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=f"record 1: {complaint}"):
        load("mlvu", save([row(**changed)]))


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("B", True),
        ("B) Red", True),
        ("(B) Red", True),
        ("B.", False),
        ("It is B", False),
        (")B", False),
    ],
)
def test_the_letter_before_a_bracket_or_alone_counts(
    save: Save, completion: str, right: bool
) -> None:
    (question,) = load("mlvu", save([row()]))
    assert BY_NAME["mlvu"].rule(completion, question) is right
