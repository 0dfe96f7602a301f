"""The order of questions: seeded, complete in every epoch, and a function of the place alone."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from videothinker.data.stream import (
    QuestionStream,
    SharedStream,
    WeightedStream,
    order,
    select,
    shared,
    times,
)
from videothinker.errors import InputError
from videothinker.types import Question


def questions(count: int) -> list[Question]:
    return [Question(id=str(n), video="", text="", options=(), answer="A") for n in range(count)]


def ids(stream: QuestionStream, steps: range, size: int) -> list[str]:
    return [question.id for step in steps for question in stream.drawn((step - 1) * size, size)]


def test_every_epoch_asks_each_question_once_in_its_own_order() -> None:
    asked = ids(QuestionStream(questions(10), seed=1), range(1, 11), 2)
    first, second = asked[:10], asked[10:]
    assert sorted(first) == sorted(second) == [str(n) for n in range(10)]
    assert first != second


def test_a_batch_runs_on_into_the_next_epoch() -> None:
    stream = QuestionStream(questions(3), seed=1)
    expected = [str(n) for epoch in range(3) for n in order(3, 1, epoch)]
    assert ids(stream, range(1, 3), 4) == expected[:8]


def test_a_step_asked_again_by_a_new_stream_is_the_same_step() -> None:
    stream = QuestionStream(questions(7), seed=5)
    ids(stream, range(1, 5), 3)
    assert ids(stream, range(3, 6), 3) == ids(QuestionStream(questions(7), 5), range(3, 6), 3)


def test_another_seed_is_another_order() -> None:
    assert order(20, 1, 0).tolist() != order(20, 2, 0).tolist()


def test_the_order_of_a_seed_never_changes_between_versions() -> None:
    assert order(8, 42, 0).tolist() == [3, 4, 2, 7, 6, 1, 5, 0]


def test_the_order_is_the_same_in_a_fresh_process() -> None:
    code = (
        "import json; from videothinker.data.stream import QuestionStream;"
        "from videothinker.types import Question;"
        "stream = QuestionStream([Question(id=str(n), video='', text='', options=(), answer='A')"
        " for n in range(50)], seed=9);"
        "print(json.dumps([question.id for question in stream.drawn(120, 4)]))"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert json.loads(said) == ids(QuestionStream(questions(50), seed=9), range(31, 32), 4)


def test_going_on_at_any_step_gives_what_one_pass_gives() -> None:
    whole = ids(QuestionStream(questions(7), seed=5), range(1, 12), 3)
    for step in range(1, 12):
        assert (
            ids(QuestionStream(questions(7), seed=5), range(step, 12), 3) == whole[step * 3 - 3 :]
        )


def test_a_selection_is_drawn_as_the_published_script_draws_it() -> None:
    # numpy.random.default_rng(42).permutation(10), which a data set's shuffle(seed=42) is
    drawn = [question.id for question in select(questions(10), 4, seed=42)]
    assert drawn == ["5", "6", "0", "7"]


@pytest.mark.parametrize("limit", [None, 5, 9])
def test_a_selection_of_all_keeps_the_order(limit: int | None) -> None:
    assert select(questions(5), limit, seed=42) == questions(5)


def test_a_smaller_selection_is_the_start_of_a_larger_one() -> None:
    assert select(questions(20), 5, seed=1) == select(questions(20), 9, seed=1)[:5]


def test_positions_count_from_zero() -> None:
    with pytest.raises(ValueError, match="count from 0"):
        QuestionStream(questions(3), 0).drawn(-1, 1)


def test_no_questions_are_refused() -> None:
    with pytest.raises(InputError, match="none to train on"):
        QuestionStream([], 0)


def turns(count: int, epochs: int) -> list[list[tuple[str, str]]]:
    """By epoch: each question's id with its wording, in the order they are asked."""
    stream = QuestionStream(questions(count), seed=4, wordings=("training", "direct"))
    asked = [stream.drawn(epoch * count, count) for epoch in range(epochs)]
    return [[(question.id, question.wording) for question in one] for one in asked]


def test_two_wordings_alternate_along_the_first_epoch_and_turn_with_each() -> None:
    first, second, third = turns(9, 3)
    assert [wording for _, wording in first] == ["training", "direct"] * 4 + ["training"]
    assert [one for one, _ in first] == [str(n) for n in order(9, 4, 0)]
    before, after = dict(first), dict(second)
    assert all(before[one] != after[one] for one in before)
    assert dict(third) == before


def test_a_step_has_its_wordings_whoever_asks_first() -> None:
    wordings = ("training", "direct")
    whole, resumed = (QuestionStream(questions(7), 5, wordings) for _ in range(2))
    whole.drawn(0, 3)
    assert resumed.drawn(24, 3) == whole.drawn(24, 3)


def test_one_wording_is_that_of_every_question() -> None:
    for wording in ("training", "direct"):
        asked = QuestionStream(questions(5), 5, (wording,)).drawn(7, 7)  # type: ignore[arg-type]
        assert {question.wording for question in asked} == {wording}
    assert QuestionStream(questions(5), 5).drawn(7, 7)[0].wording == "training"


@pytest.mark.parametrize("share", [0.5, 0.25, 0.6])
def test_a_share_of_every_few_comes_from_the_first_each_in_rounds_of_its_own(share: float) -> None:
    hard, rest = QuestionStream(questions(3), 5), QuestionStream(questions(40)[3:], 5)
    both = SharedStream(hard, rest, share)
    drawn = both.drawn(0, 40)
    marks = [int(one.id) < 3 for one in drawn]
    for start in range(0, 40, 20):
        assert sum(marks[start : start + 20]) == 20 * share
    chosen = [one for one, mark in zip(drawn, marks, strict=True) if mark]
    assert chosen == hard.drawn(0, len(chosen))
    assert [one for one in drawn if one not in chosen] == rest.drawn(0, 40 - len(chosen))


def test_what_is_shared_is_a_function_of_its_place() -> None:
    both = SharedStream(QuestionStream(questions(3), 5), QuestionStream(questions(9)[3:], 5), 0.3)
    assert [both.drawn(place, 1)[0] for place in range(30)] == both.drawn(0, 30)
    with pytest.raises(ValueError, match="positions count from 0"):
        both.drawn(-1, 2)


@pytest.mark.parametrize("wrong", [(), ("0", "1", "2")])
def test_where_all_were_answered_alike_all_are_drawn_alike(wrong: tuple[str, ...]) -> None:
    drawn = shared(questions(3), wrong, 0.5, 5, ("training",))
    assert drawn.drawn(0, 9) == QuestionStream(questions(3), 5).drawn(0, 9)
    assert drawn.about() == {"questions": 3, "wrong": len(wrong), "instead": "uniform"}
    assert drawn.figures(0, drawn.drawn(0, 4)) == {}


def test_a_step_says_what_share_of_it_was_answered_wrong() -> None:
    both = shared(questions(9), ("0", "4"), 0.25, 5, ("training",))
    assert both.about() == {"questions": 9, "wrong": 2}
    assert both.figures(0, both.drawn(0, 8)) == {"asked_wrong": 0.25}


WEIGHTS = [1.0, 0.0, 2.5, 0.5, 3.0, 0.0, 1.0]
"""Of which 8 together, for 7 questions: 7/8 of a place in a round for each unit."""


def weighted(weights: list[float] = WEIGHTS, seed: int = 3) -> WeightedStream:
    return WeightedStream(questions(len(weights)), weights, seed, ("training",))


def test_over_all_offsets_a_question_is_asked_exactly_as_often_as_its_weight_says() -> None:
    offsets = (np.arange(800) + 0.5) / 800
    often = np.array([times(np.array(WEIGHTS), offset) for offset in offsets])
    assert often.sum(0).tolist() == [700 * weight for weight in WEIGHTS]
    assert {*often.sum(1).tolist()} == {7}, "a round is as long as there are questions"
    share = 7 / 8 * np.array(WEIGHTS)
    assert (often >= np.floor(share)).all()
    assert (often <= np.ceil(share)).all()


def test_a_round_has_each_question_as_often_as_that_and_is_shuffled() -> None:
    stream = weighted()
    rounds = [[one.id for one in stream.drawn(7 * number, 7)] for number in range(200)]
    for number, asked in enumerate(rounds):
        offset = np.random.default_rng([3, number, 1]).random()
        often = times(np.array(WEIGHTS), offset).tolist()
        assert Counter(asked) == Counter({str(n): count for n, count in enumerate(often) if count})
    total = Counter(one for asked in rounds for one in asked)
    for place, weight in enumerate(WEIGHTS):
        assert total[str(place)] == pytest.approx(200 * 7 / 8 * weight, abs=25)
    assert sum(asked != sorted(asked) for asked in rounds) > 190


def test_equal_weights_ask_what_is_asked_without() -> None:
    same = weighted([0.1] * 7)
    assert same.drawn(0, 70) == QuestionStream(questions(7), 3).drawn(0, 70)


def test_what_is_weighed_is_a_function_of_its_place() -> None:
    whole = weighted().drawn(0, 60)
    assert [weighted().drawn(place, 1)[0] for place in range(60)] == whole
    assert weighted(seed=4).drawn(0, 60) != whole


def test_a_step_says_what_its_questions_weigh() -> None:
    stream = weighted()
    assert stream.about() == {"questions": 7, "never": 2, "mean_weight": 8 / 7}
    asked = questions(7)
    assert stream.figures(0, [asked[2], asked[3]]) == {"asked_weight": 1.5}
