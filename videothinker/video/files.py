"""Where a question's video lies in the user's folder of videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from videothinker.errors import InputError
from videothinker.types import Question

SUFFIXES = (".mp4", ".MP4", ".webm", ".avi", ".mkv", ".mov")
FRAME_FOLDERS = {"frames_fps3": "frames_fps3_hq"}
"""The reference's name for MVBench's folder of frames -> its name in the release."""


def find(videos: Path, video: str) -> Path | None:
    """The file of a video, or its folder of frames; None where there is none.

    Tried are the whole path below `videos`, then the path without its first folder, and so on to
    the bare name: "/yale-nlp/MMVU/videos/Art/0.mp4" is found whichever of these folders was given.
    For each, the name as written comes first, then with the other suffixes of SUFFIXES (MVBench's
    sources are no mp4), then a folder of frames of that name. A path with ".." is never followed;
    a symbolic link inside the folder is, since it is the user's own.
    """
    parts = [part for part in PurePosixPath(video).parts if part != "/"]
    if not parts or ".." in parts:
        return None
    for skipped in range(len(parts)):
        for candidate in _written(PurePosixPath(*parts[skipped:])):
            found = _existing(videos / candidate)
            if found is not None:
                return found
    return None


def path_of(videos: Path, video: str) -> Path:
    """Where a video is, or should be: whoever reads it says what is wrong with it."""
    found = find(videos, video)
    if found is None and ".." in PurePosixPath(video).parts:
        raise InputError(f"{video}: leads out of {videos}; correct the video path in the data")
    return found or videos / video.lstrip("/")


def check_distinct(videos: Path, questions: Sequence[Question]) -> None:
    """Refuse a folder in which two videos are one file.

    CLEVRER and Perception, both parts of MVBench, have different videos of the same name: in a
    flat folder one of them is missing and the other would be shown instead.
    """
    owners: dict[Path, str] = {}
    for video in dict.fromkeys(question.video for question in questions):
        file = find(videos, video)
        if file is not None and owners.setdefault(file, video) != video:
            raise InputError(
                f"{videos}: {owners[file]} and {video} would both be {file.relative_to(videos)}. "
                "Keep the videos in their sources' own folders, as docs/benchmarks.md shows."
            )


def _written(path: PurePosixPath) -> Iterator[PurePosixPath]:
    yield path
    if set(path.parts) & set(FRAME_FOLDERS):
        yield PurePosixPath(*(FRAME_FOLDERS.get(part, part) for part in path.parts))


def _existing(path: Path) -> Path | None:
    try:
        if path.is_file():
            return path
        bare = path.with_suffix("") if path.suffix in SUFFIXES else path
        others = (bare.with_name(bare.name + suffix) for suffix in SUFFIXES)
        found = next((file for file in others if file.is_file()), None)
        return found or (bare if bare.is_dir() else None)
    except OSError:  # a name that this file system cannot hold
        return None
