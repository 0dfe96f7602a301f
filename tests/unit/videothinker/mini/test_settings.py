import itertools

import pytest

from videothinker.errors import InputError
from videothinker.mini.settings import COLOURS, SPLITS, Split, World, scene_numbers


def test_no_two_splits_share_a_scene_whatever_part_of_them_is_asked_for() -> None:
    def ends(split: Split) -> list[range]:
        """The largest part, and the outermost single scenes."""
        size = len(SPLITS[split])
        return [scene_numbers(split, s, n) for s, n in ((0, size), (0, 1), (size - 1, 1))]

    for one, other in itertools.combinations(SPLITS, 2):
        for some, others in itertools.product(ends(one), ends(other)):
            assert some[-1] < others[0] or others[-1] < some[0]


@pytest.mark.parametrize(("start", "videos"), [(0, 0), (-1, 3), (0, 1_000_001), (999_999, 2)])
def test_a_part_that_reaches_beyond_its_split_is_refused(start: int, videos: int) -> None:
    with pytest.raises(InputError, match=r"--videos.*[gG]ive"):
        scene_numbers("train", start, videos)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"objects": 9}, "--objects 9: give a number from 6 to 8"),
        ({"frames": 7}, "--frames 7: odd, .* Give 8"),
        ({"frames": 34}, "--frames 34: give a number from 6 to 32"),
        ({"observational": 1.2}, "--observational 1.2: give a number from 0 to 1"),
        ({"observational": float("nan")}, "--observational nan: give a number from 0 to 1"),
    ],
)
def test_knobs_that_no_scene_fits_are_refused_with_the_option_and_the_remedy(
    knobs: dict[str, float], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        World(**knobs)  # type: ignore[arg-type]


def test_there_are_colours_for_as_many_objects_as_a_world_may_have() -> None:
    assert len(set(COLOURS)) == len(COLOURS) == World(objects=len(COLOURS)).objects
