"""Less of a prompt's pixels, times outermost: what an anchor sees in place of the video.

Words, places and grids stay as they are, so that the same completions can be scored; only numbers
change. `views` takes from clips, before they are prompts, and so also shortens what is asked.
"""

from __future__ import annotations

import zlib

import numpy as np

from videothinker.config.kl import AnchorView

NEUTRAL = 0.0
"""A normalised pixel of the mean colour."""
MASKED_SHARE = 0.6
"""Of the merged patches of something shown."""


def luck(name: str) -> np.random.Generator:
    """The same for the same question, in every process and after every restart."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def takes(view: AnchorView, times: int) -> bool:
    """Whether a view leaves less, or another order, of something that has so many times."""
    return view in ("blind", "masked") or (view != "video" and times > 1)


def retimed(
    pixels: np.ndarray, times: int, view: AnchorView, random: np.random.Generator
) -> np.ndarray:
    """Rows of so many times, equally many each: the middle time's at all of them, or every time's
    in the place of another."""
    by_time = pixels.reshape(times, -1, *pixels.shape[1:])
    if view == "frame":
        order = np.full(times, times // 2)
    else:
        assert view == "shuffled", f"a {view} view moves no times"
        order = np.arange(times)
        while (order == np.arange(times)).all():
            order = random.permutation(times)
    moved: np.ndarray = by_time[order].reshape(pixels.shape)
    return moved


def hidden_places(places: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """Of merged patches [times, height, width] those that are masked, always equally many."""
    count = int(np.prod(places))
    hidden = np.zeros(count, bool)
    hidden[random.permutation(count)[: max(1, round(MASKED_SHARE * count))]] = True
    return hidden.reshape(places)
