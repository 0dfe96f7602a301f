"""Draws mini CLEVRER scenes: frames as arrays, mp4 files, and the patches a base model reads."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from videothinker.mini.physics import Thing
from videothinker.mini.settings import COLUMNS, LANES
from videothinker.mini.sprites import CELL, floor, sprite
from videothinker.mini.world import FPS, FRAMES, Scene

HEIGHT = LANES * CELL
WIDTH = COLUMNS * CELL
PATCH = 14
MERGE = 2
TEMPORAL = 2
GRID = (FRAMES // TEMPORAL, HEIGHT // PATCH, WIDTH // PATCH)
"""Of the default world."""
VIDEO_TOKENS = GRID[0] * GRID[1] * GRID[2] // MERGE**2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_STANDING_OFFSET = 3
"""Pixels that an off-centre thing stands away from its lane's middle."""
_NUDGE = 4
"""Pixels that a grazing hit pushes it, forward and, up to the cell's edge, further aside."""
_MARGIN = 6
"""Pixels around a picture that things in its outermost cells may reach into; they are cut off."""
_NOISE = 4.0
_NOISE_BANK = 1 << 20


@cache
def _noise_bank() -> np.ndarray:
    """Sensor noise drawn once: a frame takes a stretch of it."""
    size = _NOISE_BANK + FRAMES * HEIGHT * WIDTH * 3
    noise: np.ndarray = np.random.default_rng(0).standard_normal(size, np.float32) * _NOISE
    return noise


def _corner(thing: Thing, lane: int, column: int, nudge: int) -> tuple[int, int]:
    """Top left pixel of a thing's sprite in a picture with a margin around it."""
    aside = thing.offset * (_STANDING_OFFSET + (2 if nudge else 0))
    return _MARGIN + lane * CELL + aside, _MARGIN + column * CELL + nudge * _NUDGE


def paint(scene: Scene) -> np.ndarray:
    """[frames, height, width, 3] float32, 0 to 255, without noise."""
    course, frames = scene.course, scene.world.frames
    around = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    canvas = np.repeat(np.pad(floor(), around)[None], frames, axis=0)
    for frame in range(frames):
        lanes, columns = course.lanes[frame], course.columns[frame]
        for i in np.argsort(lanes, kind="stable"):
            if not course.visible[frame, i]:
                continue
            thing = scene.things[i]
            nudge = int(course.nudges[frame, i])
            top, left = _corner(thing, int(lanes[i]), int(columns[i]), nudge)
            added, kept = sprite(thing.colour, thing.shape)
            part = canvas[frame, top : top + CELL, left : left + CELL]
            part *= kept
            part += added
    return canvas[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN].copy()


def draw(scene: Scene, seed: int) -> np.ndarray:
    """[frames, height, width, 3] uint8; the seed decides the noise."""
    frames = paint(scene)
    start = int(np.random.default_rng([seed, scene.index]).integers(_NOISE_BANK))
    frames += np.resize(_noise_bank()[start : start + frames.size], frames.shape)
    np.clip(frames, 0, 255, out=frames)
    drawn: np.ndarray = frames.round().astype(np.uint8)
    return drawn


def encode(frames: np.ndarray, path: Path) -> None:
    """Write frames as an mp4 at FPS, H.264 with full-resolution colour at nearly no loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(FPS))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        stream.thread_count = 1
        # with x264's trees of macroblocks the same frames give other bytes on some processors
        stream.options = {"crf": "10", "preset": "veryfast", "mbtree": "0"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def patches(frames: np.ndarray) -> np.ndarray:
    """[patches, 1176] float32, what Qwen's video processor makes of such frames, to rounding.

    Rows go grid time, merged row, merged column, then the 2 x 2 patches of a merged one; values go
    channel, time, row, column.
    """
    t, h, w = len(frames) // TEMPORAL, frames.shape[1] // PATCH, frames.shape[2] // PATCH
    split = frames.reshape(t, TEMPORAL, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH, 3)
    ordered = split.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(t * h * w, -1)
    each = TEMPORAL * PATCH * PATCH
    scaled: np.ndarray = ordered * np.repeat(1 / (255 * STD), each) - np.repeat(MEAN / STD, each)
    return scaled
