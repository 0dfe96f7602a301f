"""Video-MMMU from its three tracks: letters for most questions, numbers for some."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.benchmarks.video_mmmu import TRACKS
from videothinker.evaluation.scores import load

Save = Callable[..., Path]
TEXTS = ["red ball", "blue box", "green cone"]


def row(**changed: Any) -> dict[str, Any]:
    return {
        "id": "dev_Art_Theory_3",
        "link_selected": "an address",
        "question": "<image 1> What is it?",
        "options": TEXTS,
        "answer": "C",
        **changed,
    }


def track(save: Save, *records: dict[str, Any], name: str = "Adaptation") -> Path:
    by_number = {str(number): record for number, record in enumerate(records)}
    return save({name: by_number}, f"data/{name.lower()}_video.json")


def test_a_video_s_three_questions_are_told_apart_by_their_track(save: Save) -> None:
    for name in TRACKS:
        path = track(save, row(), name=name)
    first, second, third = load("video-mmmu", path.parent)
    assert first.id == "Perception/dev_Art_Theory_3"
    assert (second.category, third.category) == (
        "Comprehension/Art_Theory",
        "Adaptation/Art_Theory",
    )
    assert third.video == "VideoMMMU/Art/dev_Art_Theory_3.mp4"


def test_a_question_without_options_is_answered_in_words(save: Save) -> None:
    (question,) = load("video-mmmu", track(save, row(options=[], answer="12.97")))
    assert (question.kind, question.options, question.answer) == ("text", (), "12.97")


def test_options_that_bring_their_letters_lose_them(save: Save) -> None:
    (question,) = load("video-mmmu", track(save, row(options=["A. x", "B. y", "C. z"])))
    assert question.options == (("A", "x"), ("B", "y"), ("C", "z"))
    (question,) = load("video-mmmu", track(save, row(options=["A. x", "y", "z"])))
    assert question.options[0] == ("A", "A. x")


def test_a_flat_file_is_of_the_track_whose_folder_it_lies_in(save: Save) -> None:
    (question,) = load("video-mmmu", save([row()], "Comprehension/test.json"))
    assert question.category == "Comprehension/Art_Theory"
    with pytest.raises(InputError, match="the track is not known \\('elsewhere' is none of"):
        load("video-mmmu", save([row()], "elsewhere/test.json"))


def test_an_unknown_subject_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match="record 1: id: 'dev_Chess_3' names no subject"):
        load("video-mmmu", track(save, row(id="dev_Chess_3")))


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        ("C", "C"),
        ("A. red or (B)", "A"),
        ("(A), then (C)", "C"),
        ("first A. and then B.", "A"),
        ("first A. and then B. box", "B"),
        ("A: no, B: yes", "B"),
        ("B. box, not A: red", "B"),
        ("it must be the green cone I think", "C"),
        ("the green cone", ""),
        ("b", ""),
    ],
)
def test_the_letter_that_is_marked_most_clearly_counts(
    save: Save, completion: str, letter: str
) -> None:
    for one in "ABC":
        (question,) = load("video-mmmu", track(save, row(answer=one)))
        assert BY_NAME["video-mmmu"].rule(completion, question) is (one == letter)


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("12.97", True),
        ("It is about 12.970 g.", True),
        ("12.96 g", False),
        ("From 12.97 to the total of 4", False),
        ("It is 12.97\nSo the total is 4", True),
        ("12.97\nSo the total is 4", False),
        ("", False),
    ],
)
def test_a_number_counts_at_the_end_of_a_line_to_two_decimals(
    save: Save, completion: str, right: bool
) -> None:
    (question,) = load("video-mmmu", track(save, row(options=[], answer="12.97")))
    assert BY_NAME["video-mmmu"].rule(completion, question) is right
