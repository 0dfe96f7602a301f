"""How a model answers, beside right or wrong."""

import pytest

from videothinker.evaluation.manner import confusions, lengths
from videothinker.types import Question


def question(name: str, answer: str, *texts: str) -> Question:
    options = tuple(zip("ABCD", texts, strict=False))
    return Question(id=name, video="v", text="?", options=options, answer=answer)


def test_lengths_are_of_the_answers_that_say_theirs() -> None:
    lines = [
        {
            "id": "1",
            "completion": "<think>so</think><answer>A</answer>",
            "tokens": 9,
            "cut_off": False,
        },
        {"id": "2", "completion": "<think>and so on", "tokens": 12, "cut_off": True},
        {"id": "3", "completion": "<think> </think>A", "tokens": 3, "cut_off": False},
        {"id": "4", "completion": "A"},
    ]
    found = lengths(lines)
    assert found["tokens"] == {"mean": 8.0, "median": 9, "most": 12}
    assert (found["cut_off"]["mean"], found["cut_off"]["n"]) == (pytest.approx(1 / 3), 3)
    assert (found["thinking"]["mean"], found["thinking"]["n"]) == (0.5, 4)
    assert lengths([])["tokens"] == {"mean": None, "median": None, "most": None}


def test_options_that_come_again_are_told_by_their_texts() -> None:
    yes_no = [question(str(n), "AB"[n % 2], "yes", "no") for n in range(8)]
    answers = {one.id: "A" for one in yes_no} | {"0": "B", "7": "nothing of it"}
    assert confusions("mvbench", yes_no, answers) == [
        {"right": "no", "said": "yes", "n": 3, "questions": ["1", "3", "5"]},
        {"right": "yes", "said": "no", "n": 1, "questions": ["0"]},
    ]


def test_others_are_told_by_their_letters_the_three_worst() -> None:
    asked = [question(str(n), "ABCDB"[n], *(f"{n}{x}" for x in "abcd")) for n in range(5)]
    answers = {"0": "B", "1": "A", "2": "A", "3": "C", "4": "A"}
    found = confusions("mvbench", asked, answers)
    assert [(one["right"], one["said"], one["n"]) for one in found] == [
        ("B", "A", 2),
        ("A", "B", 1),
        ("C", "A", 1),
    ]


def test_a_question_of_several_letters_or_of_none_is_passed_over() -> None:
    assert confusions("clevrer", [question("1", "A,B", "x", "y")], {"1": "A"}) == []
