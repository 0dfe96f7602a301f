from dataclasses import replace

import numpy as np
import pytest
from mini_worlds import WORLDS

from videothinker.mini.render import draw
from videothinker.mini.screens import hidden_cells
from videothinker.mini.settings import World
from videothinker.mini.sprites import CELL
from videothinker.mini.world import Scene, make_scene

DARK = [replace(world, occlusion=1.0) for world in WORLDS]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(4, index, world=world) for world in DARK for index in range(20)]


def test_nothing_is_hidden_in_the_first_two_frames(scenes: list[Scene]) -> None:
    assert not any(hidden_cells(scene, 4)[:2].any() for scene in scenes)


def test_both_things_of_a_collision_are_in_sight_before_and_when_it_happens(
    scenes: list[Scene],
) -> None:
    for scene in scenes:
        hidden, outcome = hidden_cells(scene, 4), scene.outcome
        for event in outcome.events:
            for frame in (event.frame - 1, event.frame):
                for i in (event.mover, event.struck):
                    assert not hidden[frame, outcome.lanes[frame, i], outcome.columns[frame, i]]


def test_the_level_is_the_share_of_cells_behind_screens() -> None:
    world = World(occlusion=0.3, lanes=5, columns=8, frames=16)
    shares = [hidden_cells(make_scene(0, i, world=world), 0)[2:].mean() for i in range(60)]
    assert 0.27 < np.mean(shares) < 0.31
    assert not hidden_cells(make_scene(0, 0), 0).any()


def test_a_screen_stays_for_both_frames_of_a_video_token(scenes: list[Scene]) -> None:
    for scene in scenes:
        hidden = hidden_cells(scene, 4)
        assert (hidden[0::2] == hidden[1::2]).all()


def test_a_level_changes_neither_scene_nor_question() -> None:
    for index in range(20):
        clear, dark = (make_scene(4, index, world=World(occlusion=o)) for o in (0.0, 0.5))
        assert clear.things == dark.things
        assert clear.question() == dark.question()


def test_behind_a_screen_everything_looks_alike() -> None:
    scene = make_scene(4, 0, world=World(occlusion=1.0))
    frames, hidden = draw(scene, 4).astype(int), hidden_cells(scene, 4)
    cells = [
        frames[f, row * CELL : (row + 1) * CELL, c * CELL : (c + 1) * CELL]
        for f, row, c in np.argwhere(hidden)
    ]
    assert len(cells) > 20
    assert np.ptp([cell.mean() for cell in cells]) < 2.0
