"""Example clips of mini CLEVRER as pictures for the documentation.

python tests/mini_pictures.py docs/pictures
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from videothinker.files import disk_errors
from videothinker.mini.physics import simulate
from videothinker.mini.render import paint
from videothinker.mini.world import Scene, make_scene

SEED = 11
_GAP = 3
"""Pixels of white between frames."""


def examples() -> dict[str, list[Scene]]:
    """The clips of each picture; an inferential one is followed by its run without the object."""
    inferential = make_scene(SEED, 5, "inferential")
    return {
        "mini-straight": [make_scene(SEED, 5, "straight")],
        "mini-inferential": [inferential, without(inferential)],
    }


def without(scene: Scene) -> Scene:
    """The scene as it goes without the removed thing, for looking at only."""
    return replace(scene, course=simulate(scene.things, scene.world, scene.removed))


def strip(scenes: list[Scene]) -> np.ndarray:
    """[height, width, 3] uint8: a row of frames for each scene, without noise, twice their size."""
    around = ((0, _GAP), (0, _GAP), (0, 0))
    rows = [
        np.concatenate([np.pad(f, around, constant_values=255) for f in paint(s)], axis=1)
        for s in scenes
    ]
    picture: np.ndarray = np.concatenate(rows)[:-_GAP, :-_GAP].round().astype(np.uint8)
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def write_pictures(folder: Path) -> None:
    """A PNG file of each example, in a folder that may exist."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, scenes in examples().items():
            Image.fromarray(strip(scenes)).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
