"""LongVideoBench from lvb_val.json and from the Parquet file with a column for each option."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.scores import load, read

Save = Callable[..., Path]


def row(**changed: Any) -> dict[str, Any]:
    return {
        "video_id": "xyz",
        "question": "What is he doing?",
        "candidates": ["Walking", "Riding", "Kneeling", "Waving", "Nothing"],
        "correct_choice": 4,
        "question_category": "S2E",
        "topic_category": "NP-News-Programs",
        "id": "xyz_0",
        "video_path": "xyz.mp4",
        "subtitle_path": "xyz_en.json",
        "duration_group": 600,
        "starting_timestamp_for_subtitles": 0,
        "duration": 468.48,
        **changed,
    }


def test_the_place_of_the_right_option_is_counted_from_0(save: Save) -> None:
    (question,) = load("longvideobench", save([row()]))
    assert (question.id, question.answer, question.category) == ("xyz_0", "E", "600/S2E")
    assert question.video == "LongVideoBench/videos/xyz.mp4"
    assert question.options[0] == ("A", "Walking")


def test_columns_of_options_end_where_there_are_no_more(save: Save) -> None:
    columns = {f"option{n}": text for n, text in enumerate(["Walking", "Riding", "N/A", "N/A"])}
    record = row(correct_choice=1, option4=None, **columns)
    del record["candidates"]
    (question,) = load("longvideobench", save([record]))
    assert question.options == (("A", "Walking"), ("B", "Riding"))
    with pytest.raises(InputError, match="record 1: option0: option0 to option4 are not filled"):
        load("longvideobench", save([{**record, "option0": "N/A"}]))


def test_questions_of_the_test_set_are_left_out_and_counted(save: Save) -> None:
    hidden = row(id="other")
    del hidden["correct_choice"]
    loaded = read("longvideobench", save([row(), hidden, row(id="third", correct_choice=-1)]))
    assert len(loaded.questions) == 1
    assert loaded.left_out == {"without a solution": 2}


def test_a_place_where_no_option_stands_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match="correct_choice: 5 is no place among 5 options"):
        load("longvideobench", save([row(correct_choice=5)]))


@pytest.mark.parametrize(
    ("completion", "letter"),
    [
        ("The best answer is E. Nothing", "E"),
        ("The answer is B", "B"),
        ("Best option: (C)", "C"),
        ("best option: B", "B"),
        ("ANSWER: B", "A"),
        ("e", ""),
    ],
)
def test_the_first_letter_behind_the_phrases_counts(
    save: Save, completion: str, letter: str
) -> None:
    for place, one in enumerate("ABCDE"):
        (question,) = load("longvideobench", save([row(correct_choice=place)]))
        assert BY_NAME["longvideobench"].rule(completion, question) is (one == letter)
