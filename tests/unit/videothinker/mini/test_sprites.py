from itertools import combinations, product

import numpy as np
import pytest

from videothinker.mini.sprites import CELL, floor, sprite
from videothinker.mini.world import COLOURS, SHAPES


def body(colour: str, shape: str) -> np.ndarray:
    """The pixels that an object covers wholly."""
    added, kept = sprite(colour, shape)
    return added[kept[..., 0] == 0]


def test_colours_stay_apart_whatever_the_shape() -> None:
    means = {
        (colour, shape): body(colour, shape).mean(0) for colour, shape in product(COLOURS, SHAPES)
    }
    for one, other in combinations(means, 2):
        if one[0] != other[0]:
            assert np.abs(means[one] - means[other]).max() > 20, (one, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_and_its_shadow_end_within_the_cell(shape: str) -> None:
    added, kept = sprite("red", shape)
    for border in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert not added[border].any()
        assert (kept[border] > 0.97).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_light_comes_from_the_upper_left_and_shadows_fall_to_the_lower_right(shape: str) -> None:
    added, kept = sprite("gray", shape)
    rows, columns = np.nonzero(kept[..., 0] == 0)
    tone = added.sum(-1)[rows, columns]
    assert tone[rows < np.median(rows)].mean() > tone[rows > np.median(rows)].mean()
    assert tone[columns < np.median(columns)].mean() > tone[columns > np.median(columns)].mean()
    shade = np.where(added.any(-1), 0, 1 - kept[..., 0])
    assert shade[CELL // 2 :].sum() > 3 * shade[: CELL // 2].sum()
    assert shade[:, CELL // 2 :].sum() > 2 * shade[:, : CELL // 2].sum()


def test_edges_are_smooth() -> None:
    _, kept = sprite("red", "sphere")
    left = kept[:, : CELL // 2, 0]  # away from the shadow
    steps = left[(left > 0.05) & (left < 0.95)]
    assert len(steps) >= 10


def test_a_floor_has_a_line_between_lanes_and_none_within() -> None:
    picture = floor().mean((1, 2))
    steps = np.abs(np.diff(picture))
    lines = {lane * CELL - 1 for lane in range(1, 3)}
    assert set(np.argsort(steps)[-2:]) == lines
