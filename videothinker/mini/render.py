"""Draws mini CLEVRER scenes: frames as arrays, mp4 files, and the patches a Qwen2.5-VL reads."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np

from videothinker.mini.world import COLUMNS, FPS, FRAMES, LANES, Scene, Thing

CELL = 28
"""Pixels: one merged patch of Qwen2.5-VL, so that every cell is one video token."""
HEIGHT = LANES * CELL
WIDTH = COLUMNS * CELL
PATCH = 14
MERGE = 2
TEMPORAL = 2
GRID = (FRAMES // TEMPORAL, HEIGHT // PATCH, WIDTH // PATCH)
VIDEO_TOKENS = GRID[0] * GRID[1] * GRID[2] // MERGE**2
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

_RGB = {
    "red": (214, 40, 40),
    "blue": (35, 70, 215),
    "green": (30, 150, 55),
    "yellow": (245, 205, 30),
    "cyan": (40, 200, 215),
    "purple": (150, 50, 190),
    "brown": (120, 72, 30),
    "gray": (115, 115, 120),
}
_LANE_TINTS = ((238, 232, 222), (226, 236, 228), (224, 230, 242))
_SPRITE = 18
_STANDING_OFFSET = 3
"""Pixels that an off-centre thing stands away from its lane's middle."""
_NUDGE = 4
"""Pixels that a grazing hit pushes it, forward and, up to the cell's edge, further aside."""
_NOISE = 4.0
_NOISE_BANK = 1 << 20


@cache
def _background() -> np.ndarray:
    """[HEIGHT, WIDTH, 3]: tinted lanes that darken from left to right, with faint cell borders."""
    picture = np.repeat(np.array(_LANE_TINTS, np.float32), CELL, axis=0)[:, None, :]
    shade = np.linspace(1.0, 0.86, WIDTH, dtype=np.float32)[None, :, None]
    picture = picture * shade
    picture[::CELL] *= 0.94
    picture[:, ::CELL] *= 0.97
    return picture


def _coverage(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points of the unit square [-1, 1]^2 a shape covers."""
    if shape == "sphere":
        return np.asarray(x * x + y * y <= 1.0)
    if shape == "cube":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) <= 0.86)
    cap = np.sqrt(np.clip(1 - (x / 0.66) ** 2, 0, 1))
    return np.asarray((np.abs(x) <= 0.66) & (np.abs(y) <= 0.68 + 0.3 * cap))


@cache
def _sprite(colour: str, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Shaded colour [S, S, 3] and opacity [S, S, 1] of one object, anti-aliased."""
    fine = 4
    axis = (np.arange(_SPRITE * fine) + 0.5) / (_SPRITE * fine) * 2 - 1
    x, y = np.meshgrid(axis, axis)
    inside = _coverage(shape, x, y)
    core = _coverage(shape, x * 1.18, y * 1.18)
    light = 1.0 - 0.22 * (x + y) / 2 + 0.45 * np.exp(-((x + 0.35) ** 2 + (y + 0.4) ** 2) / 0.08)
    light = np.where(core, light, 0.55)
    colours = np.clip(np.array(_RGB[colour], np.float32) * light[..., None], 0, 255)
    opacity = inside[..., None].astype(np.float32)
    block = (_SPRITE, fine, _SPRITE, fine, -1)
    alpha = opacity.reshape(block).mean((1, 3))
    shaded = (colours * opacity).reshape(block).mean((1, 3)) / np.maximum(alpha, 1e-6)
    return shaded.astype(np.float32), alpha.astype(np.float32)


@cache
def _noise_bank() -> np.ndarray:
    """Sensor noise drawn once: a frame takes a stretch of it."""
    size = _NOISE_BANK + FRAMES * HEIGHT * WIDTH * 3
    noise: np.ndarray = np.random.default_rng(0).standard_normal(size, np.float32) * _NOISE
    return noise


def _corner(thing: Thing, lane: int, column: int, nudge: int) -> tuple[int, int]:
    """Top left pixel of a thing's sprite."""
    margin = (CELL - _SPRITE) // 2
    aside = thing.offset * (_STANDING_OFFSET + (2 if nudge else 0))
    return lane * CELL + margin + aside, column * CELL + margin + nudge * _NUDGE


def draw(scene: Scene, seed: int) -> np.ndarray:
    """[FRAMES, HEIGHT, WIDTH, 3] uint8; the seed decides the noise only."""
    frames = np.repeat(_background()[None], FRAMES, axis=0)
    outcome = scene.outcome
    for frame in range(FRAMES):
        for i, thing in enumerate(scene.things):
            if not outcome.visible[frame, i]:
                continue
            lane, column = int(outcome.lanes[frame, i]), int(outcome.columns[frame, i])
            top, left = _corner(thing, lane, column, int(outcome.nudges[frame, i]))
            colours, alpha = _sprite(thing.colour, thing.shape)
            cell = frames[frame, top : top + _SPRITE, left : left + _SPRITE]
            cell += alpha * (colours - cell)
    start = int(np.random.default_rng([seed, scene.index]).integers(_NOISE_BANK))
    frames += _noise_bank()[start : start + frames.size].reshape(frames.shape)
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
        stream.options = {"crf": "10", "preset": "veryfast"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def patches(frames: np.ndarray) -> np.ndarray:
    """[patches, 1176] float32, what Qwen's video processor makes of such frames, to rounding.

    Rows go grid time, merged row, merged column, then the 2 x 2 patches of a merged one; values go
    channel, time, row, column.
    """
    t, h, w = GRID
    split = frames.reshape(t, TEMPORAL, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH, 3)
    ordered = split.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(t * h * w, -1)
    each = TEMPORAL * PATCH * PATCH
    scaled: np.ndarray = ordered * np.repeat(1 / (255 * STD), each) - np.repeat(MEAN / STD, each)
    return scaled
