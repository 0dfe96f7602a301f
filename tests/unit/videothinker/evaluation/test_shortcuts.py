"""Labels from probes: what counts as passing one, and how labels are compared."""

import pytest

from videothinker.evaluation.shortcuts import agreement, answered, guessing_share, label, rotations
from videothinker.types import Question


def question(id: str = "q", category: str = "", answer: str = "A,C") -> Question:
    options = (("A", "red"), ("B", "green"), ("C", "blue"))
    return Question(id=id, video="v", text="?", options=options, answer=answer, category=category)


def test_every_option_stands_once_at_every_letter_and_the_answer_follows() -> None:
    turned = rotations(question())
    assert [q.options[0][1] for q in turned] == ["red", "green", "blue"]
    assert [q.answer for q in turned] == ["A,C", "B,C", "A,B"]
    assert [q.id for q in turned] == ["q#0", "q#1", "q#2"]
    for q in turned:
        named = dict(q.options)
        assert {named[letter] for letter in q.answer.split(",")} == {"red", "blue"}


def test_a_question_without_options_is_asked_once_and_passed_by_its_answer_alone() -> None:
    asked = Question(id="n", video="v", text="?", options=(), answer="3", kind="number")
    assert [turned.id for turned in rotations(asked)] == ["n#0"]
    assert answered([asked], {"n#0": "3"}) == {"n": True}
    assert answered([asked], {"n#0": "4"}) == answered([asked], {}) == {"n": False}


def test_naming_the_right_texts_passes_and_naming_one_letter_does_not() -> None:
    asked = question(answer="A")
    knows = {"q#0": "A", "q#1": "C", "q#2": "<answer>B</answer>"}
    habit = dict.fromkeys(knows, "A")
    assert answered([asked], knows) == {"q": True}
    assert answered([asked], habit) == {"q": False}


def test_a_rotation_without_an_answer_fails_the_probe() -> None:
    assert answered([question(answer="A")], {"q#0": "A", "q#1": "C"}) == {"q": False}


def test_where_no_option_is_correct_silence_is_no_answer() -> None:
    turned = rotations(question(answer=""))
    assert [one.answer for one in turned] == ["", "", ""]
    assert answered([question(answer="")], {}) == {"q": False}
    empty = {one.id: "<answer></answer>" for one in turned}
    assert answered([question(answer="")], empty) == {"q": True}


def test_one_passed_probe_makes_a_question_observational() -> None:
    questions = [question("a"), question("b")]
    found = {"blind": {"a": False, "b": False}, "frame": {"a": True}}
    assert [q.category for q in label(questions, found)] == ["observational", "inferential"]  # type: ignore[arg-type]


def test_agreement_is_the_share_of_equal_labels_and_kappa_takes_chance_off() -> None:
    kinds = ["observational"] * 6 + ["inferential"] * 4
    questions = [question(str(n), kind) for n, kind in enumerate(kinds)]
    passed = {str(n): n in (0, 1, 2, 3, 6) for n in range(10)}
    result = agreement(questions, {"blind": passed})
    assert result is not None
    blind = result["blind"]
    assert blind["agree"] == 0.7  # 4 of 6 and 3 of 4
    assert blind["table"]["observational"] == {"observational": 4, "inferential": 2}
    assert blind["kappa"] == pytest.approx((0.7 - 0.5) / (1 - 0.5))  # 0.6 * 0.5 + 0.4 * 0.5
    assert result["any"] == blind


def test_questions_without_kinds_have_nothing_to_agree_with() -> None:
    assert agreement([question(category="Action Count")], {"blind": {"q": True}}) is None


def test_kappa_is_undefined_where_both_labellings_are_constant() -> None:
    result = agreement([question(category="inferential")], {"blind": {"q": False}})
    assert result is not None
    assert (result["blind"]["agree"], result["blind"]["kappa"]) == (1.0, None)


def test_a_guess_must_be_right_at_every_rotation() -> None:
    assert guessing_share([question(answer="A")]) == pytest.approx(1 / 27)
    assert guessing_share([question(answer="A"), question()]) == pytest.approx(1 / 54)
