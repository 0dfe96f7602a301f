"""LVBench from its one file: a line a video, the options inside the questions."""

import json
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.scores import load

TEXT = "What year is it?\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633"


def asked(**changed: Any) -> dict[str, Any]:
    return {
        "uid": "55",
        "question": TEXT,
        "answer": "D",
        "question_type": ["key information retrieval"],
        "time_reference": "00:15-00:19",
        **changed,
    }


def release(folder: Path, *questions: dict[str, Any], key: str = "xyz") -> Path:
    path = folder / "video_info.meta.jsonl"
    with path.open("a") as file:
        file.write(json.dumps({"key": key, "type": "cartoon", "qa": list(questions)}) + "\n")
    return path


def test_every_question_of_every_video_is_read(tmp_path: Path) -> None:
    release(tmp_path, asked(), asked(uid=56, answer="A"))
    first, second, third = load("lvbench", release(tmp_path, asked(uid="57"), key="other"))
    assert (first.id, first.answer, first.text) == ("55", "D", "What year is it?")
    assert first.options == (("A", "1636"), ("B", "1366"), ("C", "1363"), ("D", "1633"))
    assert (second.id, second.answer) == ("56", "A")
    assert (first.video, third.video) == ("LVBench/videos/xyz.mp4", "LVBench/videos/other.mp4")


def test_where_the_answer_is_to_be_seen_is_no_part_to_watch(tmp_path: Path) -> None:
    (question,) = load("lvbench", release(tmp_path, asked()))
    assert (question.start, question.end) == (None, None)


def test_a_question_of_several_types_is_of_each(tmp_path: Path) -> None:
    several = asked(question_type=["reasoning", "event understanding"])
    (question,) = load("lvbench", release(tmp_path, several))
    assert question.category == "event understanding + reasoning"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"question": "What year is it?"}, "question: has no lines"),
        ({"question": "What?\n(A) x\n(C) y"}, "question: has no lines"),
        ({"answer": "E"}, "answer: E is not among the options"),
        ({"question_type": "reasoning"}, "question_type: 'reasoning' is not a list"),
        ({"uid": None}, "uid: the field is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, changed: dict[str, Any], complaint: str
) -> None:
    path = release(tmp_path, asked(uid=1), asked(**changed))
    with pytest.raises(InputError, match=f"record 1: question 2: {complaint}"):
        load("lvbench", path)


def test_a_copy_may_have_a_line_for_each_question(tmp_path: Path) -> None:
    path = tmp_path / "flat.jsonl"
    path.write_text(json.dumps(asked(key="xyz", video_path="xyz.mp4")))
    assert load("lvbench", path) == load("lvbench", release(tmp_path, asked()))


def test_a_line_without_questions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(json.dumps({"key": "xyz", "type": "cartoon"}))
    with pytest.raises(InputError, match="record 1: qa: the field is missing"):
        load("lvbench", path)


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("D", True),
        ("(D) 1633", True),
        ("D. 1633", True),
        ("D) 1633", True),
        ("It is (D)", True),
        ("It is D", False),
        ("d", False),
    ],
)
def test_the_first_character_of_the_first_brackets_or_word_counts(
    tmp_path: Path, completion: str, right: bool
) -> None:
    (question,) = load("lvbench", release(tmp_path, asked()))
    assert BY_NAME["lvbench"].rule(completion, question) is right
