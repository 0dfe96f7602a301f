"""Files of published sets, written from the description of their layouts: read as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from videothinker.data.own.prepare import prepare, reading
from videothinker.data.questions import read_questions
from videothinker.evaluation.scores import load
from videothinker.types import Question

LETTERED = ["A. it melts", "B. it sinks", "C. it floats", "D. it splits", "E. it burns"]
MMVU: list[dict[str, Any]] = [
    {
        "problem_id": number,
        "problem": f"What happens to sample {number} in the video?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "multiple-choice",
        "options": LETTERED,
        "process": "",
        "solution": f"<answer>{letter}</answer>",
        "video": f"/yale-nlp/MMVU/videos/{subject}/{number}.mp4",
        "data_source": "",
    }
    for number, (letter, subject) in enumerate(
        [("A", "Art"), ("E", "Art"), ("C", "Physics"), ("B", "Physics"), ("D", "Biology")], start=1
    )
]
BARE = ["a friend", "a rival", "①②", "a sister", "a rival", "A thief"]
HOLMES: list[dict[str, Any]] = [
    {
        "video": f"/Video-Holmes/videos/{video}.mp4",
        "question_id": str(number),
        "question_type": kind,
        "question": f"Who enters at 0:{number:02}?",
        "problem": f"Who enters at 0:{number:02}? \nA. a friend\nB. a rival",
        "solution": f"<answer>{letter}</answer>",
        "options": BARE,
        "source": "video_holmes",
        "explanation": "it leaks the answer",
    }
    for number, (video, kind, letter) in enumerate(
        [
            ("ab", "SR", "F"),
            ("ab", "IMC", "A"),
            ("cd", "TCI", "E"),
            ("cd", "TA", "B"),
            ("e", "MHR", "C"),
        ],
        start=1,
    )
]


def prepared(folder: Path, records: list[dict[str, Any]]) -> list[Question]:
    for record in records:
        video = folder / "videos" / record["video"].lstrip("/")
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
    (folder / "set.json").write_text(json.dumps(records))
    own = reading(folder / "set.json", folder / "videos", {})
    assert prepare(own, folder / "out")["left_out"] == 0
    return read_questions(folder / "out/questions.parquet")


@pytest.mark.parametrize(("name", "records"), [("mmvu", MMVU), ("video-holmes", HOLMES)])
def test_a_benchmarks_file_gives_the_questions_that_evaluation_asks(
    tmp_path: Path, name: str, records: list[dict[str, Any]]
) -> None:
    found, known = prepared(tmp_path, records), load(name, tmp_path / "set.json")
    assert len(found) == len(records)
    for one, other in zip(found, known, strict=True):
        same = ("id", "text", "options", "answer")
        assert [getattr(one, part) for part in same] == [getattr(other, part) for part in same]
        assert one.kind == "choice"


def test_of_two_options_with_equal_words_the_solutions_letter_counts(tmp_path: Path) -> None:
    found = prepared(tmp_path, HOLMES)
    assert [one.answer for one in found] == ["F", "A", "E", "B", "C"]
    assert found[2].options[2:5] == (("C", "①②"), ("D", "a sister"), ("E", "a rival"))


def test_what_gives_an_answer_away_is_not_read(tmp_path: Path) -> None:
    assert "leaks" not in repr(prepared(tmp_path, HOLMES))


def test_their_types_of_question_are_what_results_are_split_by(tmp_path: Path) -> None:
    assert [one.category for one in prepared(tmp_path, HOLMES)] == ["SR", "IMC", "TCI", "TA", "MHR"]
