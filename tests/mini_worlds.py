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
    World(objects=8, lanes=4, columns=6, frames=8, wordings=12),
    World(lanes=8, columns=12, frames=12, heavy=0.5),
    World(will_not=1.0),
    World(several=1.0),
    World(will_not=1.0, several=1.0, observational=0.5),
    World(objects=8, heavy=1.0, several=0.5, will_not=0.5, occlusion=1.0),
    World(objects=8, options=5, columns=6, several=0.5, will_not=0.5),
    World(objects=7, options=4, observational=0.0, several=0.5, will_not=0.5, heavy=0.3),
    World(objects=8, options=4, observational=1.0, several=0.5, will_not=0.5, frames=32),
    World(options=5, columns=6, objects=8),
]
