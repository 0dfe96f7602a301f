import hashlib
import json
from collections import Counter
from dataclasses import replace

import pytest
from mini_worlds import WORLDS

from videothinker.data.clevrer.prepare import bias_label
from videothinker.data.clevrer.rules import RULES
from videothinker.mini.physics import simulate
from videothinker.mini.settings import ASKED_PHRASINGS, COLUMNS, LANES, OPTIONS, World
from videothinker.mini.world import Kind, Scene, is_sound, make_scene
from videothinker.mini.write import annotation, question_record

SCENES = [make_scene(11, index) for index in range(300)]
ALL = [*SCENES, *(make_scene(3, index, world=w) for w in WORLDS for index in range(60))]


def happen(scene: Scene, *, removal: bool) -> list[bool]:
    """Which options' events happen."""
    without = scene.removed if removal else None
    pairs = simulate(scene.things, scene.world, without).pairs()
    return [frozenset(option) in pairs for option in scene.options]


def test_the_default_world_is_the_one_that_the_base_model_was_trained_on() -> None:
    """A digest of scenes made before there were knobs."""
    digest = hashlib.sha256()
    for index in [*range(300), *range((1 << 32) + 1, (1 << 32) + 101)]:
        scene = make_scene(11, index)
        digest.update(json.dumps([annotation(scene), question_record(scene)]).encode())
    assert digest.hexdigest() == "5221da5c3bbf791af1879079b173b558b33c9a1eb81e6d5ccedc622155db96cc"


def test_answers_agree_with_the_physics_run_without_the_removed_thing() -> None:
    for scene in ALL:
        assert happen(scene, removal=True) == [i == scene.answer for i in range(OPTIONS)]


def test_questions_are_observational_exactly_when_the_video_shows_the_true_options() -> None:
    for scene in ALL:
        shown = happen(scene, removal=False)
        assert (shown == [i == scene.answer for i in range(OPTIONS)]) == scene.observational
        assert scene.shown == [i for i, is_shown in enumerate(shown) if is_shown]
        assert scene.question().category == (
            "observational" if scene.observational else "inferential"
        )


def test_all_four_labelling_rules_agree_in_every_world() -> None:
    for scene in ALL:
        (question,) = question_record(scene)["questions"]
        labels = {bias_label(question, annotation(scene), rule) for rule in RULES}
        assert labels == {scene.question().category}


def test_inferential_questions_offer_an_event_that_was_seen_but_would_not_happen() -> None:
    for scene in ALL:
        if not scene.observational:
            changed = zip(happen(scene, removal=False), happen(scene, removal=True), strict=True)
            assert (True, False) in changed


def test_options_never_name_the_removed_thing_nor_an_event_twice() -> None:
    for scene in ALL:
        assert scene.removed not in {i for option in scene.options for i in option}
        assert len(set(map(frozenset, scene.options))) == len(scene.options) == OPTIONS
        assert scene.removed != scene.mover


def test_a_wrong_answer_is_found() -> None:
    for scene in ALL[::7]:
        assert is_sound(scene)
        assert not is_sound(replace(scene, answer=(scene.answer + 1) % OPTIONS))
        other: Kind = "inferential" if scene.observational else "deflected"
        assert not is_sound(replace(scene, kind=other))


@pytest.mark.parametrize("observational", [0.74, 0.3])
def test_any_stretch_of_scenes_has_the_stated_shares_of_kinds(observational: float) -> None:
    world = World(observational=observational)
    shares = {
        "deflected": observational / 2,
        "straight": observational / 2,
        "inferential": 1 - observational,
    }
    for first in (0, 100, 200):
        made = (make_scene(11, first + i, world=world) for i in range(100))
        counted = Counter(scene.kind for scene in made)
        for kind, expected in shares.items():
            assert abs(counted[kind] - 100 * expected) <= 2


def test_neither_the_letter_nor_the_removed_shape_gives_the_answer_away() -> None:
    letters = Counter(scene.answer for scene in SCENES)
    assert max(letters.values()) < 0.45 * len(SCENES)
    shapes = {s.things[s.removed].shape for s in SCENES if s.kind == "inferential"}
    assert len(shapes) == 3


def test_colours_are_unique_within_a_scene() -> None:
    assert all(len({t.colour for t in s.things}) == len(s.things) for s in ALL)


def test_every_scene_has_the_objects_asked_for_each_in_a_cell_of_its_own() -> None:
    for scene in ALL:
        cells = {(t.lane, t.column) for t in scene.things}
        assert len(cells) == len(scene.things) == scene.world.objects
        assert all(0 <= t.lane < LANES for t in scene.things)
        assert all(0 <= t.column < COLUMNS for t in scene.things)


def test_every_phrasing_that_is_asked_comes_up() -> None:
    assert {scene.phrasing for scene in ALL} == set(range(ASKED_PHRASINGS))


def test_the_same_seed_and_number_give_the_same_scene() -> None:
    again = make_scene(11, 42)
    assert again.things == SCENES[42].things
    assert again.question() == SCENES[42].question()
    assert make_scene(12, 42).things != again.things
