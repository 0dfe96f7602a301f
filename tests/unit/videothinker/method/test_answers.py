"""What each kind of answer counts as, and what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from videothinker.method.answers import KINDS, credit, is_right
from videothinker.method.prompts import asked, training_text
from videothinker.types import AnswerKind, Question

CASES: list[tuple[AnswerKind, str, str, float]] = [
    ("choice", "B", "B", 1),
    ("choice", "B", "B.", 0),
    ("choice", "B", "A,B", 0),
    ("multi", "A,C", "C, A", 1),
    ("multi", "A,C", "A", 0.5),
    ("multi", "A,C", "A,B", 0),
    ("number", "12.5", "12.5", 1),
    ("number", "1200", "about 1,200 m", 1),
    ("number", "12.5", "12.6", 0),
    ("number", "12.5", "between 12 and 13", 0),
    ("number", "-3", "-3", 1),
    ("number", "0.5", "1/2", 0),
    ("text", "a red car", "The red car.", 1),
    ("text", "a red car", "a blue car", 0.5),
    ("text", "a red car", "", 0),
    ("yes_no", "yes", "Yes, it does.", 1),
    ("yes_no", "no", "False", 1),
    ("yes_no", "no", "not at all", 0),
    ("span", "2-6", "2-6", 1),
    ("span", "2-6", "4 to 8 s", 1 / 3),
    ("span", "12-15", "from 0:12 to 0:15", 1),
    ("span", "3600-3661.5", "1:00:00-1:01:01.5", 1),
    ("span", "2-6", "6-2", 0),
    ("span", "2-6", "7-9", 0),
    ("box", "[0, 0, 10, 10]", "[0, 5, 10, 15]", 1 / 3),
    ("box", "[0, 0, 10, 10]", "0 0 10 10", 1),
    ("box", "[0, 0, 10, 10]", "[0, 0, 10]", 0),
    ("box", "[0, 0, 10, 10]", "[20, 20, 30, 30]", 0),
    ("list", "red; blue", "Blue; the red", 1),
    ("list", "red; blue", "red, green", 0.5),
    ("list", "red; blue", "red; blue; green", 0.8),
]


def question(kind: AnswerKind, right: str, tolerance: float | None = None) -> Question:
    options = (("A", "this"), ("B", "that"), ("C", "both")) if kind in ("choice", "multi") else ()
    return Question(
        id="q", video="v", text="?", options=options, answer=right, kind=kind, tolerance=tolerance
    )


@pytest.mark.parametrize(("kind", "right", "given", "worth"), CASES)
def test_an_answer_is_worth_what_it_shares_with_the_right_one(
    kind: AnswerKind, right: str, given: str, worth: float
) -> None:
    said = f"<think>so</think><answer>{given}</answer>"
    assert credit(said, question(kind, right)) == pytest.approx(worth)


def test_the_documented_table_is_this_one() -> None:
    rows = [
        f"| `{kind}` | {right} | {given} | {worth:.2g} |" for kind, right, given, worth in CASES
    ]
    page = (Path(__file__).parents[4] / "docs/own-data.md").read_text()
    assert "\n".join(rows) in page


def test_every_kind_is_in_the_table() -> None:
    assert set(KINDS) == {kind for kind, *_ in CASES} == set(get_args(AnswerKind))


def test_a_number_may_be_off_by_the_tolerance_and_no_more() -> None:
    near = question("number", "10", tolerance=0.5)
    assert [credit(given, near) for given in ("9.5", "10.5", "10.51")] == [1, 1, 0]


def test_half_of_a_span_or_a_box_counts_as_right_and_half_of_a_list_does_not() -> None:
    assert is_right("2-4", question("span", "2-6"))
    assert not is_right("2-3.9", question("span", "2-6"))
    assert is_right("[0 0 10 5]", question("box", "[0, 0, 10, 10]"))
    assert not is_right("red; green", question("list", "red; blue"))
    assert not is_right("A", question("multi", "A,C"))


@pytest.mark.parametrize("wording", ["training", "evaluation", "direct"])
def test_a_prompt_says_what_kind_of_answer_it_wants(wording: str) -> None:
    for kind in set(KINDS) - {"choice", "multi"}:
        assert f"({KINDS[kind].asked})" in asked(question(kind, "1"), wording)  # type: ignore[arg-type]
    assert "(the letter of one option)" in training_text(question("choice", "A"))
