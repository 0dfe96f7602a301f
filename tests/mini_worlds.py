"""Mini worlds: one that is ready to train on, and many over the range of the knobs."""

from pathlib import Path

from videothinker.config.settings import VideoConfig
from videothinker.mini.settings import World

MINI_VIDEO = VideoConfig(
    fps=2.0,
    min_frames=6,
    max_frames=6,
    min_pixels=84 * 140,
    max_pixels=84 * 140,
    total_pixels=6 * 84 * 140,
)
"""The frame budget under which a mini cell is one visual token."""


def prepared_world(folder: Path, videos: int = 24, seed: int = 7) -> Path:
    """Mini CLEVRER videos (`raw/videos`), prepared (`questions.parquet`, `bias.parquet`)."""
    from videothinker.data.clevrer.prepare import prepare
    from videothinker.mini.write import write_world

    raw = folder / "raw"
    write_world(raw, videos=videos, seed=seed)
    prepare(raw / "questions.json", raw / "annotations", raw / "videos", folder)
    return folder


WORLDS = [
    World(),
    World(objects=8, frames=8),
    World(objects=7, observational=0.0),
    World(observational=1.0, frames=32),
    World(objects=8, observational=0.5),
]
