"""Less than the video: what remains of a clip when a question is probed for shortcuts."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Literal

import numpy as np

from videothinker.video.frames import Clip

View = Literal["video", "frame", "shuffled", "blind"]
"""The whole video; its middle frame; its frames out of order; the question's words alone."""


def seen(clip: Clip, view: View, seed: str) -> Clip:
    """What a view leaves of a clip; the same order out of order for the same seed."""
    if view == "video":
        return clip
    if view == "frame":
        # twice, because a visual token spans two frames
        order = np.full(2, len(clip.frames) // 2)
    else:
        assert view == "shuffled", f"a {view} view has no clip"
        order = np.random.default_rng(zlib.crc32(seed.encode())).permutation(len(clip.frames))
    metadata = {**clip.metadata}
    metadata["frames_indices"] = [int(clip.metadata["frames_indices"][place]) for place in order]
    # the engine keeps vision features by digest, so another order needs another one
    digest = f"{clip.digest}-{view}-{seed}"
    return replace(clip, frames=clip.frames[order], metadata=metadata, digest=digest)
