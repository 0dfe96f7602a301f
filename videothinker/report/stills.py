"""Small stills of a video as data: URIs, for pages that must stand alone."""

from __future__ import annotations

import base64
import io
import struct
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.video.clips import ClipStore
from videothinker.video.files import path_of

WIDTH = 200
"""Stills are thinned to whole fractions of their size, down to about this width."""
SHOWN = 8
"""At most this many stills; of a longer sample every so many are left out."""
QUALITY = 85
"""Of a JPEG, 1 to 95; at this one no edge of a small still is seen to suffer."""


class Stills:
    """Of the videos in a folder: from the clips that runs have kept, else decoded in a process of
    their own.

    A page is worth having without its pictures, so a video that has moved, or a machine without the
    decoder, gives none rather than an error.
    """

    def __init__(self, data: DataConfig, video: VideoConfig) -> None:
        self._videos = data.videos
        self._own = tempfile.TemporaryDirectory(prefix="videothinker-stills-")
        self._clips = self._store(data, video)

    def of(self, asked: Mapping[str, Any]) -> list[str]:
        """JPEG data: URIs of the frames that the model saw of a question's video."""
        try:
            path = path_of(self._videos, asked["video"])  # it may lead out: somebody has written it
            frames = self._clips.get(path, asked.get("start"), asked.get("end")).frames
        except VideoThinkerError:
            return []
        pixels = frames.transpose(0, 2, 3, 1)
        step = max(1, round(pixels.shape[2] / WIDTH))
        every = -(-len(pixels) // SHOWN)
        return [_uri(frame) for frame in pixels[::every, ::step, ::step]]

    def _store(self, data: DataConfig, video: VideoConfig) -> ClipStore:
        """Over what runs have kept, where that is here and open to us; else over nothing."""
        if data.cache.is_dir():
            with suppress(InputError):
                return ClipStore(data.cache, data.cache_gb, video, data.decode_seconds)
        return ClipStore(Path(self._own.name), data.cache_gb, video, data.decode_seconds)

    def close(self) -> None:
        """End what decodes."""
        self._clips.close()
        self._own.cleanup()


def _uri(frame: np.ndarray) -> str:
    """As a JPEG: of a video's noise, which no eye needs, a PNG would keep eight times as much."""
    from PIL import Image  # here: a page without stills needs none

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def png(pixels: np.ndarray) -> bytes:
    """[height, width, 3] uint8 as a PNG file.

    Each row is stored as its difference from the row above, which halves the size of a video frame.
    """
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, width * 3)
    above = np.vstack([np.zeros((1, width * 3), np.uint8), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(filtered.tobytes(), 9)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
