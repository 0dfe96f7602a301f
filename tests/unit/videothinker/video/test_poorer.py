"""What is left of pixels by hand: two numbers a row, one row or two of each time."""

from __future__ import annotations

import numpy as np
import pytest

from videothinker.config.kl import AnchorView
from videothinker.video.poorer import hidden_places, luck, retimed, takes

PIXELS = np.arange(12, dtype=np.float32).reshape(6, 2)
"""Three times of two rows."""


def test_a_frame_is_the_middle_time_at_all_times() -> None:
    left = retimed(PIXELS, 3, "frame", luck("q"))
    assert left.tolist() == [[4, 5], [6, 7]] * 3
    assert retimed(PIXELS[:4], 2, "frame", luck("q")).tolist() == [[4, 5], [6, 7]] * 2


def test_shuffled_times_are_all_there_as_they_were_and_never_in_their_order() -> None:
    for number in range(40):
        left = retimed(PIXELS, 3, "shuffled", luck(f"q{number}"))
        assert sorted(left[::2].tolist()) == PIXELS[::2].tolist()
        assert (left[1::2] - left[::2] == 2).all()
        assert not np.array_equal(left, PIXELS)
    assert retimed(PIXELS[:2], 2, "shuffled", luck("q")).tolist() == [[2, 3], [0, 1]]


def test_the_order_is_the_questions() -> None:
    orders = {
        tuple(retimed(PIXELS, 3, "shuffled", luck(f"q{number}"))[::2, 0]) for number in range(40)
    }
    assert len(orders) == 5
    again = [retimed(PIXELS, 3, "shuffled", luck("q")) for _ in range(2)]
    assert np.array_equal(*again)


@pytest.mark.parametrize(
    ("places", "count"), [((3, 2, 5), 18), ((1, 1, 1), 1), ((1, 1, 2), 1), ((2, 2, 2), 5)]
)
def test_six_of_ten_places_are_hidden_whichever_these_are(
    places: tuple[int, int, int], count: int
) -> None:
    hidden = [hidden_places(places, luck(f"q{number}")) for number in range(9)]
    assert {(one.shape, int(one.sum())) for one in hidden} == {(places, count)}
    if places == (3, 2, 5):
        assert len({one.tobytes() for one in hidden}) == 9
        assert np.array_equal(hidden[0], hidden_places(places, luck("q0")))


@pytest.mark.parametrize(
    ("view", "of_one", "of_many"),
    [
        ("video", False, False),
        ("blind", True, True),
        ("frame", False, True),
        ("shuffled", False, True),
        ("masked", True, True),
    ],
)
def test_one_time_has_no_other_order(view: AnchorView, of_one: bool, of_many: bool) -> None:
    assert (takes(view, 1), takes(view, 2)) == (of_one, of_many)
