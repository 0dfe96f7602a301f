"""Small stills of a video as data: URIs, for pages that must stand alone."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.model.families.known import frames_for
from videothinker.video.clips import ClipStore
from videothinker.video.files import path_of
from videothinker.video.frames import FrameBudget, is_picture

Pictures = Callable[[Sequence[str], float | None, float | None], list[str]]
"""Stills of a video from a start to an end, as data: URIs; none where it cannot be read."""

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

    def __init__(self, data: DataConfig, video: FrameBudget) -> None:
        self._videos = data.videos
        self._own = tempfile.TemporaryDirectory(prefix="videothinker-stills-")
        self._clips = self._store(data, video)

    def of(self, shows: Sequence[str], start: float | None, end: float | None) -> list[str]:
        """JPEG data: URIs of what the model saw of a question's videos and pictures, and of the
        first of them only the part that was watched."""
        parts = [(start, end), *[(None, None)] * len(shows)]
        return [
            uri for path, part in zip(shows, parts, strict=False) for uri in self._of(path, *part)
        ]

    def _of(self, video: str, start: float | None, end: float | None) -> list[str]:
        try:
            path = path_of(self._videos, video)  # it may lead out: somebody has written it
            part = (None, None) if is_picture(path) else (start, end)
            frames = self._clips.get(path, *part).frames
        except VideoThinkerError:
            return []
        pixels = frames.transpose(0, 2, 3, 1)
        step = max(1, round(pixels.shape[2] / WIDTH))
        every = -(-len(pixels) // SHOWN)
        return [_uri(frame) for frame in pixels[::every, ::step, ::step]]

    def _store(self, data: DataConfig, video: FrameBudget) -> ClipStore:
        """Over what runs have kept, where that is here and open to us; else over nothing."""
        if data.cache.is_dir():
            with suppress(InputError):
                return ClipStore(data.cache, data.cache_gb, video, data.decode_seconds)
        return ClipStore(Path(self._own.name), data.cache_gb, video, data.decode_seconds)

    def close(self) -> None:
        """End what decodes."""
        self._clips.close()
        self._own.cleanup()


@contextmanager
def stills_of(data: DataConfig, video: VideoConfig, model: Path) -> Iterator[Pictures]:
    """As a model sees them under a configuration's budget; where the model lies elsewhere by now,
    in squares of the usual size."""
    try:
        budget = frames_for(model, video)
    except InputError:
        budget = FrameBudget(**video.model_dump())
    with closing(Stills(data, budget)) as stills:
        yield stills.of


def _uri(frame: np.ndarray) -> str:
    """As a JPEG: of a video's noise, which no eye needs, a PNG would keep eight times as much."""
    from PIL import Image  # here: a page without stills needs none

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
