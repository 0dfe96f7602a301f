"""Which questions a stage draws, in words, whatever a file may hold."""

from __future__ import annotations

from typing import Any

import pytest

from videothinker.status.drawn import drawn_words


def test_words_are_of_the_steps_that_there_are() -> None:
    about = {"by": "errors", "of": "bias", "questions": 1200, "wrong": 300}
    assert drawn_words(about) == "model bias gets 300 of 1,200 questions wrong"
    lines: list[dict[str, Any]] = [{"asked_wrong": 0.5}, {"asked_wrong": 0.25}, {"reward": 1.0}]
    assert drawn_words(about, lines).endswith("questions wrong, 38% of what was asked")


@pytest.mark.parametrize("by", ["errors", "column", "difficulty", "uniform", "later", None, [3]])
@pytest.mark.parametrize("junk", [None, "x", [1], float("nan"), {}])
def test_nothing_that_a_file_may_hold_is_an_error(by: Any, junk: Any) -> None:
    keys = ("of", "questions", "wrong", "never", "mean_weight", "column", "least", "most", "rest")
    lines = [dict.fromkeys(("asked_wrong", "asked_weight", "resting"), junk)]
    for about in ({"by": by}, {"by": by, **dict.fromkeys(keys, junk)}):
        words = drawn_words(about, lines)
        assert bool(words) == (by in ("errors", "column"))
