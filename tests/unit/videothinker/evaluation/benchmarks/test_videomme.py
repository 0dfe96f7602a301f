"""Video-MME from the reference's file and from the release's Parquet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from videothinker.errors import InputError
from videothinker.evaluation.scores import load

Save = Callable[..., Path]

OFFICIAL = {
    "video_id": "001",
    "duration": "short",
    "domain": "Knowledge",
    "sub_category": "History",
    "url": "an address",
    "videoID": "xyz",
    "question_id": "001-1",
    "task_type": "Counting Problem",
    "question": "How many?",
    "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
    "answer": "C",
}


def row(**changed: Any) -> dict[str, Any]:
    return {
        **OFFICIAL,
        "problem_id": 1,
        "problem": "How many?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "Counting Problem",
        "solution": "<answer>C</answer>",
        "video": "/lmms-lab/Video-MME/data/xyz.mp4",
        "subtitle": "",
        **changed,
    }


def test_durations_are_the_categories_and_kinds_of_task_their_parts(save: Save) -> None:
    (question,) = load("videomme", save([row()]))
    assert (question.id, question.category) == ("001-1", "short/Counting Problem")


def test_the_release_gives_the_same_questions(save: Save, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([OFFICIAL]), tmp_path / "test.parquet")
    assert load("videomme", tmp_path / "test.parquet") == load("videomme", save([row()]))


def test_a_problem_may_have_several_lines(save: Save) -> None:
    (question,) = load("videomme", save([row(problem="In order?\n(a) x\n(b) y")]))
    assert question.text == "In order?\n(a) x\n(b) y"


def test_equal_options_stay_apart_even_if_one_is_the_solution(save: Save) -> None:
    (question,) = load("videomme", save([row(options=["A. x", "B. y", "C. y", "D. z"])]))
    assert question.options == (("A", "x"), ("B", "y"), ("C", "y"), ("D", "z"))
    assert question.answer == "C"


def test_an_answer_that_contradicts_the_solution_is_refused(save: Save) -> None:
    with pytest.raises(InputError, match="answer: 'D' is option D, the solution is C"):
        load("videomme", save([row(answer="D")]))


def test_a_file_that_is_no_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test.parquet").write_bytes(b"PAR1 not really\n" * 9)
    with pytest.raises(InputError, match=r"test\.parquet") as caught:
        load("videomme", tmp_path / "test.parquet")
    assert "\n" not in str(caught.value)
