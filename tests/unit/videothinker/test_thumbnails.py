"""Stills of a video for a page that stands alone."""

import base64
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from videothinker import thumbnails
from videothinker.config import VideoConfig
from videothinker.thumbnails import png, stills


def test_a_png_holds_exactly_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_a_video_that_is_not_there_gives_no_stills() -> None:
    assert stills(Path("/nowhere/video.mp4"), VideoConfig()) == []


def test_stills_are_few_small_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.zeros((16, 3, 240, 400), np.uint8)
    frames += np.arange(16, dtype=np.uint8)[:, None, None, None]
    monkeypatch.setattr(thumbnails, "read_clip", lambda *_: SimpleNamespace(frames=frames))
    uris = stills(Path("video.mp4"), VideoConfig())
    images = [Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) for uri in uris]
    assert [image.getpixel((0, 0)) for image in images] == [(n, n, n) for n in range(0, 16, 2)]
    assert images[0].size == (200, 120)
