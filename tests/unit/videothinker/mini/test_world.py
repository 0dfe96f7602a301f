from collections import Counter

import numpy as np
import pytest

from videothinker.mini.world import FRAMES, SHARES, Scene, Thing, make_scene, simulate

SCENES = [make_scene(11, index) for index in range(300)]


def pair(scene: Scene, option: int) -> frozenset[int]:
    return frozenset((scene.mover, scene.options[option]))


def test_answers_agree_with_the_physics_run_without_the_removed_thing() -> None:
    for scene in SCENES:
        happens = simulate(scene.things, without=scene.removed).pairs()
        assert [pair(scene, i) in happens for i in range(3)] == [
            i == scene.answer for i in range(3)
        ]


def test_questions_are_observational_exactly_when_the_true_option_is_in_the_videos_log() -> None:
    for scene in SCENES:
        assert (pair(scene, scene.answer) in scene.outcome.pairs()) == scene.observational
        assert scene.question().category == (
            "observational" if scene.observational else "inferential"
        )


def test_inferential_questions_offer_the_event_that_was_seen_but_would_not_happen() -> None:
    for scene in SCENES:
        assert pair(scene, scene.observed) in scene.outcome.pairs()
        assert (scene.observed != scene.answer) == (scene.kind == "inferential")


def test_options_never_name_the_removed_thing() -> None:
    assert all(s.removed not in s.options and s.removed != s.mover for s in SCENES)


def test_any_stretch_of_scenes_has_the_stated_shares_of_kinds() -> None:
    for first in (0, 100, 200):
        counted = Counter(scene.kind for scene in SCENES[first : first + 100])
        for kind, share in SHARES.items():
            assert abs(counted[kind] - 100 * share) <= 2


def test_neither_the_letter_nor_the_removed_shape_gives_the_answer_away() -> None:
    letters = Counter(scene.answer for scene in SCENES)
    assert max(letters.values()) < 0.45 * len(SCENES)
    shapes = {s.things[s.removed].shape for s in SCENES if s.kind == "inferential"}
    assert len(shapes) == 3


def test_colours_are_unique_within_a_scene() -> None:
    assert all(len({t.colour for t in s.things}) == len(s.things) for s in SCENES)


def test_the_same_seed_and_number_give_the_same_scene() -> None:
    again = make_scene(11, 42)
    assert again.things == SCENES[42].things
    assert again.question() == SCENES[42].question()
    assert make_scene(12, 42).things != again.things


@pytest.mark.parametrize(("offset", "lane"), [(0, 1), (1, 0), (-1, 2)])
def test_a_mover_stops_at_a_centred_thing_and_slips_past_an_off_centre_one(
    offset: int, lane: int
) -> None:
    mover = Thing(colour="red", shape="cube", lane=1, column=0, velocity=1)
    other = Thing(colour="blue", shape="cube", lane=1, column=2, offset=offset)
    outcome = simulate((mover, other))
    assert [tuple(event) for event in outcome.events] == [(2, 0, 1)]
    assert outcome.lanes[2, 0] == lane
    assert outcome.columns[FRAMES - 1, 0] == (1 if offset == 0 else 4)
    assert bool(np.any(outcome.columns[:, 1] != 2)) == (offset == 0)


def test_an_absent_thing_is_neither_seen_nor_hit() -> None:
    scene = next(s for s in SCENES if s.kind == "inferential")
    outcome = simulate(scene.things, without=scene.removed)
    assert not outcome.visible[:, scene.removed].any()
    assert all(scene.removed not in pair for pair in outcome.pairs())
