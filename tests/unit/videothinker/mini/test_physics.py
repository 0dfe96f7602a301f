import numpy as np
import pytest

from videothinker.mini.physics import Outcome, Thing, simulate
from videothinker.mini.settings import World

WORLD = World()
LAST = WORLD.frames - 1
MOVER = Thing(colour="red", shape="cube", lane=1, column=0, velocity=1)


def standing(
    colour: str, column: int, lane: int = 1, material: str = "rubber", offset: int = 0
) -> Thing:
    return Thing(
        colour=colour, shape="cube", lane=lane, column=column, material=material, offset=offset
    )


def events(outcome: Outcome) -> list[tuple[int, ...]]:
    return [tuple(event) for event in outcome.events]


@pytest.mark.parametrize(("offset", "lane"), [(0, 1), (1, 0), (-1, 2)])
def test_a_mover_stops_at_a_centred_thing_and_slips_past_an_off_centre_one(
    offset: int, lane: int
) -> None:
    outcome = simulate((MOVER, standing("blue", 2, offset=offset)), WORLD)
    assert events(outcome) == [(2, 0, 1)]
    assert outcome.lanes[2, 0] == lane
    assert outcome.columns[LAST, 0] == (1 if offset == 0 else 4)
    assert bool(np.any(outcome.columns[:, 1] != 2)) == (offset == 0)


def test_things_in_a_row_pass_the_motion_on_to_the_last() -> None:
    row = (MOVER, standing("blue", 2), standing("green", 3), standing("gray", 4))
    outcome = simulate(row, WORLD)
    assert events(outcome) == [(2, 0, 1), (2, 1, 2), (2, 2, 3)]
    assert outcome.columns[LAST, :3].tolist() == [1, 2, 3]
    assert not outcome.visible[LAST, 3]


def test_motion_goes_on_over_a_gap() -> None:
    outcome = simulate((MOVER, standing("blue", 2), standing("green", 4)), WORLD)
    assert events(outcome) == [(2, 0, 1), (3, 1, 2)]


def test_a_thing_that_hits_metal_stops_and_the_metal_does_not_move() -> None:
    row = (MOVER, standing("blue", 2, material="metal"), standing("green", 3))
    outcome = simulate(row, WORLD)
    assert events(outcome) == [(2, 0, 1)]
    assert outcome.columns[LAST].tolist() == [1, 2, 3]
    assert not outcome.velocities[2:].any()


@pytest.mark.parametrize(("material", "nudge"), [("rubber", 1), ("metal", 0)])
def test_a_grazing_hit_nudges_rubber_only(material: str, nudge: int) -> None:
    post = standing("blue", 2, material=material, offset=1)
    outcome = simulate((MOVER, post), WORLD)
    assert outcome.nudges[LAST, 1] == nudge
    assert outcome.lanes[2, 0] == 0


def test_an_absent_thing_is_neither_seen_nor_hit() -> None:
    outcome = simulate((MOVER, standing("blue", 2)), WORLD, without=1)
    assert not outcome.visible[:, 1].any()
    assert outcome.events == ()


def test_what_leaves_the_picture_is_gone() -> None:
    outcome = simulate((MOVER,), WORLD)
    assert outcome.visible[:, 0].tolist() == [True] * 5 + [False]
