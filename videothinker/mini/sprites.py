"""How mini CLEVRER's floor and objects look: shaded pictures with soft shadows, drawn once each.

The light comes from the upper left. Everything is drawn several times finer than a pixel and
averaged, so that edges are smooth. Coordinates are pixels, x to the right and y down; a sprite's
origin is where its object stands.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from videothinker.mini.settings import COLUMNS, LANES

CELL = 28
"""Pixels: one merged patch of Qwen2.5-VL, so that every cell is one video token."""
_RGB = {
    "red": (218, 38, 38),
    "blue": (35, 75, 225),
    "green": (28, 155, 55),
    "yellow": (248, 205, 25),
    "cyan": (35, 205, 220),
    "purple": (155, 50, 200),
    "brown": (125, 72, 28),
    "gray": (120, 120, 126),
}
_LANE_TINTS = ((236, 228, 214), (222, 233, 222), (220, 227, 241))
_FINE = 8
_LIGHT = np.array((-0.5, -0.62, 0.6)) / np.linalg.norm((-0.5, -0.62, 0.6))
_OUTLINE = 1.11
"""Points that leave the silhouette when moved out by this factor belong to its dark rim."""
_RIM = 0.62
_SHADOW = 0.5
"""Darkness of a shadow where it is deepest."""


@cache
def floor() -> np.ndarray:
    """[LANES * CELL, COLUMNS * CELL, 3] float32: tinted lanes between lines, lit from one side."""
    height, width = LANES * CELL, COLUMNS * CELL
    picture = np.repeat(np.array(_LANE_TINTS, np.float32), CELL, axis=0)[:, None, :]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = picture * (1.02 - 0.16 * x / width)[..., None]
    across = (y % CELL + 0.5) / CELL * 2 - 1
    picture *= (1.0 - 0.05 * across**2)[..., None]
    for lane in range(1, LANES):
        picture[lane * CELL - 1] *= 0.8
        picture[lane * CELL] = picture[lane * CELL] * 0.4 + 255 * 0.6
        for column in range(1, COLUMNS):
            picture[lane * CELL - 1, column * CELL - 1 : column * CELL + 1] *= 0.7
    picture[:, CELL::CELL] *= 0.975
    clipped: np.ndarray = np.clip(picture, 0, 255)
    return clipped


def _sphere(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a ball of radius 8.4 is, how light it is there, and how much it mirrors the light."""
    u, v = x / 8.4, (y + 0.3) / 8.4
    depth = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    facing = u * _LIGHT[0] + v * _LIGHT[1] + depth * _LIGHT[2]
    light = 0.58 + 0.56 * np.clip(facing, 0, 1)
    return u * u + v * v <= 1, light, 1.5 * np.clip(facing, 0, 1) ** 26


def _cube(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box seen from the front, a little from above and from the right."""
    side, slant = 12.6, 4.2
    left, top = x + (side + slant) / 2, y + (side + slant) / 2
    front = (left >= 0) & (left <= side) & (top >= slant) & (top <= side + slant)
    lid = (top >= 0) & (top < slant) & (left >= slant - top) & (left <= side + slant - top)
    wall = (left > side) & (left <= side + slant)
    wall &= (top >= side + slant - left) & (top <= 2 * side + slant - left)
    light = np.where(lid, 1.24, np.where(front, 0.98 - 0.012 * (top - slant), 0.62))
    mirrored = np.where(lid, 0.35, 0.0) + front * np.exp(-((left + top - 9) ** 2) / 8) * 0.5
    return front | lid | wall, light, mirrored


def _cylinder(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A drum on its end: an elliptic lid over a round wall."""
    u = np.clip(x / 6.4, -1, 1)
    bulge = 2.7 * np.sqrt(1 - u * u)
    body = (np.abs(x) <= 6.4) & (y <= 6.0 + bulge) & (y >= -6.0 - bulge)
    lid = body & (np.abs(y + 6.0) <= bulge)
    light = np.where(lid, 1.26, 1.02 - 0.42 * (u + 0.45) ** 2)
    mirrored = np.where(lid, 0.3, np.exp(-((u + 0.5) ** 2) / 0.02))
    return body, light, mirrored


_FORMS = {"sphere": _sphere, "cube": _cube, "cylinder": _cylinder}
_GLOSS = 0.35
"""How strongly things mirror the light; all are of rubber."""


def _shadow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much of the light is kept from the floor, away from the light and soft at its border."""
    distance = ((x - 2.4) / 10.2) ** 2 + ((y - 5.6) / 6.2) ** 2
    return np.asarray(_SHADOW * np.clip(1.25 - distance, 0, 1) ** 1.3)


@cache
def sprite(colour: str, shape: str) -> tuple[np.ndarray, np.ndarray]:
    """An object and its shadow: light added [CELL, CELL, 3], floor kept [CELL, CELL, 1]."""
    axis = (np.arange(CELL * _FINE) + 0.5) / _FINE - CELL / 2
    x, y = np.meshgrid(axis, axis)
    inside, light, mirrored = _FORMS[shape](x, y)
    core, _, _ = _FORMS[shape](x * _OUTLINE, y * _OUTLINE)
    base = np.array(_RGB[colour], np.float32) * (light * np.where(core, 1.0, _RIM))[..., None]
    shine = (_GLOSS * mirrored * core)[..., None]
    colours = np.clip(base + (255 - base) * np.clip(shine, 0, 1), 0, 255)
    through = np.where(inside, 0.0, 1.0 - _shadow(x, y))[..., None]
    block = (CELL, _FINE, CELL, _FINE, -1)
    added = (colours * inside[..., None]).reshape(block).mean((1, 3))
    kept = through.reshape(block).mean((1, 3))
    return added.astype(np.float32), kept.astype(np.float32)
