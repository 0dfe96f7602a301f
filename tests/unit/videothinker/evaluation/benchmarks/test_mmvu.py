"""MMVU from the reference's file and from the release; invented rows with the real oddities."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.scores import load, read

Save = Callable[..., Path]


def row(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "problem_id": number,
        "problem": "Which force acts?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "multiple-choice",
        "options": ["A. drag", "B. lift", "C. thrust", "D. weight", "E. none"],
        "process": "",
        "solution": "<answer>B</answer>",
        "video": "/yale-nlp/MMVU/videos/Modern_Physics/0.mp4",
        "data_source": "an address",
        **changed,
    }


def official(number: int = 0, **changed: Any) -> dict[str, Any]:
    return {
        "id": f"validation_{number}",
        "video": "https://host/datasets/yale-nlp/MMVU/resolve/main/videos/Modern_Physics/0.mp4",
        "question_type": "multiple-choice",
        "metadata": {"subject": "Modern Physics"},
        "question": "Which force acts?",
        "choices": {"A": "drag", "B": "lift", "C": "thrust", "D": "weight", "E": "none"},
        "answer": "B",
        **changed,
    }


def test_a_row_becomes_a_question_below_the_folder_of_videos(save: Save) -> None:
    (question,) = load("mmvu", save([row()]))
    assert question.id == "1"
    assert question.video == "yale-nlp/MMVU/videos/Modern_Physics/0.mp4"
    assert question.text == "Which force acts?"
    assert question.options[0] == ("A", "drag")
    assert question.options[4] == ("E", "none")
    assert (question.answer, question.category) == ("B", "Modern Physics")


def test_the_release_gives_the_same_questions_under_its_own_ids(save: Save) -> None:
    (theirs,) = load("mmvu", save([row()], "reference.json"))
    (ours,) = load("mmvu", save([official()], "validation.json"))
    assert ours.id == "validation_0"
    for name in ("video", "text", "options", "answer", "category"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_open_ended_questions_of_the_release_are_left_out_and_counted(save: Save) -> None:
    blank = dict.fromkeys("ABCDE", "")
    open_ended = official(1, question_type="open-ended", choices=blank, answer="Dolly zoom")
    loaded = read("mmvu", save([official(0), open_ended, official(2)]))
    assert [question.id for question in loaded.questions] == ["validation_0", "validation_2"]
    assert (loaded.layout, loaded.left_out) == ("official", {"open-ended": 1})


def test_one_video_and_problem_twice_with_other_options_are_two_questions(save: Save) -> None:
    again = row(2, options=["A. 1", "B. 2", "C. 3", "D. 4", "E. 5"])
    first, second = load("mmvu", save([row(1), again]))
    assert (first.video, first.text) == (second.video, second.text)
    assert first.options != second.options


def test_rows_without_id_and_types_are_numbered(save: Save) -> None:
    bare = [row(), row()]
    for one in bare:
        for name in ("problem_id", "problem_type", "data_type"):
            del one[name]
    assert [question.id for question in load("mmvu", save(bare))] == ["1", "2"]


def test_rows_that_are_not_multiple_choice_are_left_out_and_counted(save: Save) -> None:
    loaded = read("mmvu", save([row(1), row(2, problem_type="free-form", options=[])]))
    assert (len(loaded.questions), loaded.left_out) == (1, {"free-form": 1})


def test_a_file_of_open_ended_questions_only_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match="none of 1 records is multiple choice"):
        load("mmvu", save([official(question_type="open-ended")]))
