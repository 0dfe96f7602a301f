"""Passes without the questions that are too easy or too hard: a rule, and what is known for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from builders import question

from videothinker.data.resting import RestingStream, Success
from videothinker.data.stream import QuestionStream, order
from videothinker.errors import InputError
from videothinker.types import Wording

COUNT, SEED, WINDOW = 12, 5, 4
QUESTIONS = [question(str(number)) for number in range(COUNT)]


def stream(answered: list[Success], **other: Any) -> RestingStream:
    wordings: tuple[Wording, ...] = other.pop("wordings", ("training",))
    usual = {"bounds": (0.2, 0.8), "rest": 2, "window": WINDOW, "least_left": 2}
    return RestingStream(QUESTIONS, SEED, wordings, answered=lambda _: answered, **usual | other)


def rule(
    answered: list[Success], passes: int, rest: int = 2, window: int = WINDOW
) -> list[list[int]]:
    """The documented rule, in the plainest words."""
    asked: list[list[int]] = []
    for number in range(passes):
        start = sum(map(len, asked))
        chosen = []
        for place in order(COUNT, SEED, number).tolist():
            position, last = 0, None
            for earlier, those in enumerate(asked):
                for one in those:
                    known = position < start - window and answered[position] is not None
                    if one == place and known:
                        last = (earlier, answered[position])
                    position += 1
            out = last is not None and not 0.2 <= (last[1] or 0.0) <= 0.8
            if not (out and last is not None and number - last[0] <= rest):
                chosen.append(place)
        asked.append(chosen)
    return asked


def flat(passes: list[list[int]]) -> list[str]:
    return [str(one) for those in passes for one in those]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("rest", "window"), [(1, 4), (2, 4), (3, 15), (2, 0)])
def test_whoever_was_too_easy_or_too_hard_when_last_known_rests(
    seed: int, rest: int, window: int
) -> None:
    random = np.random.default_rng(seed)
    shares = random.choice([0.0, 0.1, 0.5, 0.75, 1.0, np.nan], 200)
    answered = [None if np.isnan(one) else float(one) for one in shares]
    wanted = flat(rule(answered, 9, rest, window))
    drawn = stream(answered, rest=rest, window=window).drawn(0, len(wanted))
    assert [one.id for one in drawn] == wanted
    assert len(wanted) < 9 * COUNT, "otherwise nobody rested"


def test_a_position_says_who_is_asked_whatever_else_is_known_by_then() -> None:
    answered: list[Success] = [float(number % 3 > 0) for number in range(200)]
    whole = stream(answered).drawn(0, 80)
    assert [stream(answered).drawn(place, 1)[0] for place in range(80)] == whole
    read: list[int] = []
    growing = stream(answered)
    for place in range(80):  # the file has no more than what lies so far behind
        growing._answered = lambda least, place=place: (
            read.append(least) or answered[: place + 1 - WINDOW]
        )  # type: ignore[misc]
        assert growing.drawn(place, 1)[0] == whole[place]
    assert 3 < len(read) < 20, "it is read once a pass"


def test_nobody_is_lost() -> None:
    """Always wrong, and asked again whenever it has rested."""
    asked = [one.id for one in stream([0.0] * 400, window=0, least_left=0).drawn(0, 4 * COUNT)]
    assert [asked.count(str(place)) for place in range(COUNT)] == [4] * COUNT
    drawn = stream([0.0 if n == 3 else 0.5 for n in range(400)])
    passes = [len(set(rule([0.0 if n == 3 else 0.5 for n in range(400)], 9)[p])) for p in range(9)]
    assert passes == [12, 11, 11, 12, 12, 12, 12, 12, 12]
    assert drawn.figures(0, []) == {"resting": 0}
    assert drawn.figures(COUNT, []) == drawn.figures(COUNT + 10, []) == {"resting": 1}
    assert drawn.figures(COUNT + 11 + 11, []) == {"resting": 0}


def test_the_first_pass_asks_what_is_asked_anyway_in_the_same_wordings() -> None:
    usual = QuestionStream(QUESTIONS, SEED, ("training", "direct"))
    drawn = stream([0.5] * 100, wordings=("training", "direct")).drawn(0, 40)
    assert drawn == usual.drawn(0, 40)
    assert [one.wording for one in drawn] == [one.wording for one in usual.drawn(0, 40)]


def test_where_too_few_would_be_left_all_are_asked_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drawn = stream([1.0] * 100, window=1)
    assert {one.id for one in drawn.drawn(COUNT, COUNT)} == {one.id for one in QUESTIONS}
    assert drawn.figures(COUNT, []) == {"resting": 0}
    [said] = caplog.messages
    assert "pass 2 through the questions asks all 12 of them: only 1 are within" in said


def test_positions_count_from_zero_and_there_are_some() -> None:
    with pytest.raises(ValueError, match="positions count from 0"):
        stream([]).drawn(-1, 2)
    with pytest.raises(InputError, match="none to train on"):
        RestingStream([], 0, (), bounds=(0, 1), rest=1, window=0, least_left=1, answered=range)
