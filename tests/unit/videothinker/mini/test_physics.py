import numpy as np
import pytest

from videothinker.mini.physics import Course, Thing, simulate
from videothinker.mini.settings import World

WORLD = World()
LAST = WORLD.frames - 1
MOVER = Thing(colour="red", shape="cube", lane=1, column=0, velocity=1)


def standing(colour: str, column: int, lane: int = 1, offset: int = 0) -> Thing:
    return Thing(colour=colour, shape="cube", lane=lane, column=column, offset=offset)


def events(course: Course) -> list[tuple[int, ...]]:
    return [tuple(event) for event in course.events]


@pytest.mark.parametrize(("offset", "lane"), [(0, 1), (1, 0), (-1, 2)])
def test_a_mover_stops_at_a_centred_thing_and_slips_past_an_off_centre_one(
    offset: int, lane: int
) -> None:
    course = simulate((MOVER, standing("blue", 2, offset=offset)), WORLD)
    assert events(course) == [(2, 0, 1)]
    assert course.lanes[2, 0] == lane
    assert course.columns[LAST, 0] == (1 if offset == 0 else 4)
    assert bool(np.any(course.columns[:, 1] != 2)) == (offset == 0)


def test_things_in_a_row_pass_the_motion_on_to_the_last() -> None:
    row = (MOVER, standing("blue", 2), standing("green", 3), standing("gray", 4))
    course = simulate(row, WORLD)
    assert events(course) == [(2, 0, 1), (2, 1, 2), (2, 2, 3)]
    assert course.columns[LAST, :3].tolist() == [1, 2, 3]
    assert not course.visible[LAST, 3]


def test_motion_goes_on_over_a_gap() -> None:
    course = simulate((MOVER, standing("blue", 2), standing("green", 4)), WORLD)
    assert events(course) == [(2, 0, 1), (3, 1, 2)]


def test_a_grazing_hit_nudges_aside() -> None:
    course = simulate((MOVER, standing("blue", 2, offset=1)), WORLD)
    assert course.nudges[LAST, 1] == 1
    assert course.lanes[2, 0] == 0


def test_an_absent_thing_is_neither_seen_nor_hit() -> None:
    course = simulate((MOVER, standing("blue", 2)), WORLD, without=1)
    assert not course.visible[:, 1].any()
    assert course.events == ()


def test_what_leaves_the_picture_is_gone() -> None:
    course = simulate((MOVER,), WORLD)
    assert course.visible[:, 0].tolist() == [True] * 5 + [False]
