"""Video-Holmes from the reference's file and from the release."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.scores import load

Save = Callable[..., Path]
OPTIONS = ["a friend", "a rival", "a stranger", "a sister", "a doctor", "a thief"]


def row(number: int = 1, **changed: Any) -> dict[str, Any]:
    lines = [f"{letter}. {text}" for letter, text in zip("ABCDEF", OPTIONS, strict=True)]
    return {
        "video": "/Video-Holmes/videos/abc.mp4",
        "question_id": str(number),
        "question_type": "SR",
        "question": "Who is she to him?",
        "problem": "Who is she to him? \n" + "\n".join(lines),
        "solution": "<answer>F</answer>",
        "options": OPTIONS,
        "source": "video_holmes",
        "explanation": "it leaks the answer: a thief",
        **changed,
    }


def official(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "video ID": "abc",
        "Question ID": number,
        "Question Type": "SR",
        "Question": "Who is she to him?",
        "Options": dict(zip("ABCDEF", OPTIONS, strict=True)),
        "Answer": "F",
        "Explanation": "it leaks the answer: a thief",
        **changed,
    }


def test_options_without_letters_get_theirs_and_are_not_asked_twice(save: Save) -> None:
    (question,) = load("video-holmes", save([row()]))
    assert question.options == tuple(zip("ABCDEF", OPTIONS, strict=True))
    assert question.text == "Who is she to him?"
    assert (question.id, question.answer, question.category) == ("1", "F", "SR")
    assert question.video == "Video-Holmes/videos/abc.mp4"


def test_the_explanation_reaches_no_question(save: Save) -> None:
    (question,) = load("video-holmes", save([row()]))
    assert "leaks" not in repr(question)


def test_equal_options_stay_apart_even_if_one_is_the_solution(save: Save) -> None:
    (question,) = load("video-holmes", save([row(options=["x", "y", "z", "w", "v", "x"])]))
    assert question.options[0] == ("A", "x")
    assert question.options[5] == ("F", "x")
    assert question.answer == "F"


def test_circled_digits_survive(save: Save) -> None:
    (question,) = load("video-holmes", save([row(options=["①②", "②①", "①", "②", "x", "y"])]))
    assert question.options[0] == ("A", "①②")


def test_the_release_gives_the_same_questions(save: Save) -> None:
    assert load("video-holmes", save([official()], "test_Video-Holmes.json")) == load(
        "video-holmes", save([row()])
    )


def test_question_numbers_that_begin_anew_with_each_video_are_told_apart(save: Save) -> None:
    rows = [official(1), official(2), official(1, **{"video ID": "def"})]
    assert [q.id for q in load("video-holmes", save(rows))] == ["abc/1", "abc/2", "def/1"]


def test_a_missing_type_is_named_with_its_record(save: Save) -> None:
    rows = [row(1), row(2)]
    del rows[1]["question_type"]
    with pytest.raises(InputError, match=r"file\.json: record 2: question_type: .* missing"):
        load("video-holmes", save(rows))
