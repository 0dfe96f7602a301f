"""Questions about real clips and pictures, of several lengths and in several numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
from builders import question
from documented import real_clips
from PIL import Image

from videothinker.config.settings import VideoConfig

VIDEO = VideoConfig(
    fps=2.0,
    min_frames=4,
    max_frames=10,
    min_pixels=28_224,
    max_pixels=50_176,
    total_pixels=10 * 50_176,
    picture_min_pixels=28_224,
    picture_max_pixels=50_176,
)
"""Frames of six to ten windows of 112 pixels."""
RABBIT, BIKES, CAR = "bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"
QUESTIONS = (
    question("five seconds", video=RABBIT),
    question("two seconds", video=RABBIT, start=1.0, end=3.0),
    question("ten seconds", video=BIKES),
    question("four seconds", video=CAR),
    question("a picture", video="street.png"),
    question("two clips", video=CAR, also=(BIKES,)),
    question("pictures and a clip", video="street.png", also=(CAR, "seat.png")),
    question("words alone", video=""),
)
TIMES = {
    "five seconds": ("0.3", "1.5", "2.6", "3.8", "4.9"),
    "two seconds": ("1.3", "2.7"),
}
"""Means of the two frames' that become one: 0 and 15, 29 and 44, ... of 25 in a second."""


def write_videos(folder: Path) -> Path:
    """The clips, and a frame of two of them as pictures."""
    for file in real_clips():
        shutil.copy(file, folder)
    for name, source in (("street", BIKES), ("seat", CAR)):
        with av.open(str(folder / source)) as container:
            frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
        Image.fromarray(frame).save(folder / f"{name}.png")
    return folder
