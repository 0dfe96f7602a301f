"""TOMATO from its six files, whose records are numbered and whose answers are places."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.benchmarks.tomato import STEMS
from videothinker.evaluation.scores import load

Save = Callable[..., Path]


def row(**changed: Any) -> dict[str, Any]:
    return {
        "question": "How many circles are drawn?",
        "options": ["2", "1", "3", "Not drawing at all."],
        "answer": 2,
        "key": "0209-03",
        "video_source_url": "",
        "motion_type": "count",
        "variation": {"counterfactual": 0},
        "demonstration_type": "human",
        "note": "drawing three",
        **changed,
    }


def test_the_six_files_are_read_and_their_numbers_kept(save: Save) -> None:
    for stem in STEMS:
        kind = stem.replace("_", " ")
        path = save({"0": row(motion_type=kind), "7": row(motion_type=kind)}, f"data/{stem}.json")
    questions = load("tomato", path.parent)
    assert len(questions) == 12
    first, last = questions[0], questions[-1]
    assert (first.id, first.answer, first.category) == ("count/0", "C", "count/human")
    assert (last.id, last.category) == ("visual_cues/7", "visual_cues/human")
    assert first.video == "TOMATO/videos/human/0209-03.mp4"


@pytest.mark.parametrize("place", [4, -1, True, "2"])
def test_a_place_where_no_option_stands_is_refused(save: Save, place: object) -> None:
    with pytest.raises(InputError, match=f"record 5: answer: {place!r} is no place among 4"):
        load("tomato", save({"5": row(answer=place)}))


@pytest.mark.parametrize(
    ("completion", "right"),
    [
        ("C", True),
        ("c", True),
        ("C: 3", True),
        ("Answer is:(C)", True),
        ("Answer is A", False),
        ("3", True),
        ("2", False),
        ("I count 3.", True),
        ("", False),
    ],
)
def test_what_the_rules_do_not_decide_goes_to_the_stand_in(
    save: Save, completion: str, right: bool
) -> None:
    (question,) = load("tomato", save({"0": row()}))
    assert BY_NAME["tomato"].rule(completion, question) is right
