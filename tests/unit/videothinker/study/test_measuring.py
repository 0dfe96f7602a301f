"""What is counted of an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_study import small_exam

from videothinker.mini.texts import OPENINGS
from videothinker.run.answers import Answer, Drawing, write_answers
from videothinker.study.cells import balanced
from videothinker.study.measuring import measure, read_exam
from videothinker.types import Question


def answer(question: str, drawing: Drawing, style: str, letter: str) -> Answer:
    opening = OPENINGS["reasoning" if style == "reasoning" else "shortcut"]
    return Answer(
        id=question,
        drawing=drawing,
        completion=f"{opening} x </think> <answer>{letter}</answer>",
        token_ids=np.array([1], np.int64),
        logprobs=np.array([-1.0], np.float32),
    )


def measured(
    folder: Path, style: str, letter: str, drawing: Drawing = "sampled"
) -> dict[str, float]:
    """Means over the small exam when all answers of one drawing are the same."""
    exam = small_exam()
    write_answers(folder, [answer(q.id, drawing, style, letter) for q in exam.questions])
    return {name: float(np.nanmean(values)) for name, values in measure(folder, exam).items()}


def test_accuracy_is_counted_by_kind_of_question(tmp_path: Path) -> None:
    exam = small_exam()
    answers = [answer(q.id, "sampled", "shortcut", exam.shown[q.id]) for q in exam.questions]
    write_answers(tmp_path, answers)
    values = {name: np.nanmean(one) for name, one in measure(tmp_path, exam).items()}
    assert (values["observational"], values["inferential"], values["overall"]) == (1, 0, 0.75)


def test_reasoning_words_around_what_the_video_shows_are_cosmetic(tmp_path: Path) -> None:
    values = measured(tmp_path, "reasoning", "B")
    assert (values["cosmetic"], values["reasoning_wording"]) == (1, 1)


@pytest.mark.parametrize(("style", "letter"), [("reasoning", "A"), ("shortcut", "B")])
def test_right_reasoning_and_an_open_shortcut_are_not(
    tmp_path: Path, style: str, letter: str
) -> None:
    assert measured(tmp_path, style, letter)["cosmetic"] == 0


def test_words_are_counted_thinking_included_and_no_answer_has_none(tmp_path: Path) -> None:
    exam = small_exam()
    asked = exam.questions[0]
    one = answer(asked.id, "sampled", "reasoning", "A")
    write_answers(tmp_path, [one])
    words = measure(tmp_path, exam)["words"]
    assert words[0] == len(one.completion.split()) > 1
    assert set(words[1:]) == {0.0}


def test_the_most_likely_answers_are_counted_apart(tmp_path: Path) -> None:
    values = measured(tmp_path, "reasoning", "A", "likeliest")
    assert (values["likeliest_overall"], values["overall"]) == (1, 0)


def test_what_a_world_shows_is_read_from_its_evidence(mini_world: Path) -> None:
    """The video settles an observational question, and misleads about an inferential one."""
    exam = read_exam(mini_world)
    assert len(exam.questions) == 24
    for question in exam.questions:
        shown = exam.shown[question.id]
        assert (shown == question.answer) == (question.category == "observational")


def test_a_balanced_mix_has_both_kinds_equally_often() -> None:
    mix = balanced(small_exam().questions)
    assert len(mix) == len({question.id for question in mix}) == 20
    assert sum(question.category == "inferential" for question in mix) == 10
    order = [int(question.id[1:]) for question in mix]
    assert order == sorted(order)


def test_a_mix_of_one_kind_alone_is_empty() -> None:
    only = [Question(id="x", video="v", text="t", options=(), answer="A", category="observational")]
    assert balanced(only) == []
