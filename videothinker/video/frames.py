"""A video and a budget become the frames a model sees: which ones, how large, and when they are.

The rules are qwen-vl-utils', and every limit comes with the call. What runs here runs in the
calling process; `decoder` has a process for videos that nobody has seen yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from videothinker import cpu_torch
from videothinker.config.section import Positive
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.files import file_digest

RULE = 3
"""Version of everything here that decides about pixels; clips decoded by another are not reused."""
FOLDER_FPS = 3.0
"""Of a folder of pictures that stands for a video."""
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
LARGEST_FILE = 2**34
"""Bytes. No benchmark's video is a tenth of it; a sparse file can claim anything."""
LONGEST = 24 * 3600
"""Seconds a video may last; beyond, its header is damaged."""


class FrameBudget(VideoConfig):
    """What of a video or a picture one model sees: its family cuts squares of its own size."""

    side: Positive = 28
    """Pixels along each side of what becomes one token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Sampled frames with what is needed to place them in time."""

    frames: np.ndarray
    """[F, 3, H, W] uint8, already at the size the model sees; a picture is one."""
    sample_fps: float
    metadata: dict[str, Any]
    """fps, total_num_frames, frames_indices, video_backend: transformers' VideoMetadata."""
    digest: str
    """Content address: the video's bytes, the budget, the part that is watched, and the rule."""

    @property
    def times(self) -> list[float]:
        """Of each frame, in seconds of its video."""
        return [index / self.metadata["fps"] for index in self.metadata["frames_indices"]]


def read_clip(
    path: Path, video: FrameBudget, start: float | None = None, end: float | None = None
) -> Clip:
    """Decode here and now, in this process."""
    source = source_of(path)
    digest = clip_digest(content_digest(source), video, start, end)
    return decode(source, digest, video, start, end)


def source_of(path: Path) -> Path:
    """The file or folder that holds a video; InputError for what cannot be one.

    Nothing is opened: a pipe or a device would wait for ever.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        folder = path.with_suffix("")
        if folder.is_dir():  # MVBench names videos of which only the pictures are distributed
            return folder
        raise InputError(
            f"{path}: no such video; check data.videos or prepare the data set again"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)})") from error
    if stat.S_ISDIR(found.st_mode):
        return path
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: is neither a file nor a folder of pictures")
    if not 0 < found.st_size <= LARGEST_FILE:
        raise InputError(f"{path}: holds {found.st_size} bytes, which no video does")
    return path


def pictures_in(folder: Path) -> list[Path]:
    """A folder's pictures in the order of their names."""
    try:
        files = [Path(entry) for entry in os.scandir(folder) if entry.is_file()]
        size = sum(file.stat().st_size for file in files)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({first_line(error)})") from error
    chosen = sorted(file for file in files if file.suffix.lower() in PICTURES)
    if not chosen:
        raise InputError(f"{folder}: is a folder without pictures (jpg, png, webp), not a video")
    if size > LARGEST_FILE:
        raise InputError(f"{folder}: holds {size} bytes, which no video does")
    return chosen


def content_digest(source: Path) -> str:
    """SHA-256 of a file; of a folder, that of its pictures' names and contents."""
    try:
        if not source.is_dir():
            return file_digest(source)
        parts = [f"{file.name} {content_digest(file)}\n" for file in pictures_in(source)]
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({first_line(error)})") from error
    return hashlib.sha256("".join(parts).encode(errors="surrogateescape")).hexdigest()


def clip_digest(content: str, video: FrameBudget, start: float | None, end: float | None) -> str:
    """Content address of a clip."""
    parts = f"{RULE} {content} {video.model_dump_json()} {start} {end}"
    return hashlib.sha256(parts.encode()).hexdigest()


def decode(
    source: Path, digest: str, video: FrameBudget, start: float | None, end: float | None
) -> Clip:
    """The clip of a file or folder that `source_of` found."""
    cpu_torch.install()
    import av
    from PIL import Image

    read = from_folder if source.is_dir() else from_picture if is_picture(source) else from_file
    try:
        return read(source, digest, video, start, end)
    except av.FFmpegError as error:
        raise InputError(f"{source}: cannot be decoded ({error.strerror})") from error
    except (
        Image.DecompressionBombError,
        MemoryError,
        OSError,
        RuntimeError,  # torch, out of memory
        SyntaxError,  # Pillow, at a damaged PNG
        ValueError,  # qwen-vl-utils, where a part or a shape makes no sense
    ) as error:
        raise InputError(f"{source}: cannot be decoded ({first_line(error)})") from error


def from_file(
    source: Path, digest: str, video: FrameBudget, start: float | None, end: float | None
) -> Clip:
    """A video file's frames, by PyAV, and only if what they are decoded from is undamaged."""
    from videothinker.video import readers

    contents = readers.survey(source)
    if not contents.labels:
        raise InputError(f"{source}: holds no frame that can be decoded")
    if len(contents.labels) > LONGEST * contents.fps:
        raise InputError(
            f"{source}: claims {len(contents.labels)} frames at {contents.fps:g} in a second"
        )
    indices, length = chosen_frames(video, len(contents.labels), contents.fps, start, end)
    shrunk = readers.read_strictly(source, contents, indices, Shrinker(video, len(indices)))
    return clip(shrunk, digest, contents.fps, indices, length, "pyav")


def from_folder(
    source: Path, digest: str, video: FrameBudget, start: float | None, end: float | None
) -> Clip:
    """Pictures at FOLDER_FPS; of all pictures, only those that are chosen are read."""
    from PIL import Image
    from qwen_vl_utils.vision_process import to_rgb

    files = pictures_in(source)
    indices, length = chosen_frames(video, len(files), FOLDER_FPS, start, end)
    shrink = Shrinker(video, len(indices))
    shrunk: list[np.ndarray] = []
    sizes: set[tuple[int, ...]] = set()
    for index in indices:
        with Image.open(files[index]) as picture:
            pixels = np.array(to_rgb(picture))
        sizes.add(pixels.shape)
        if len(sizes) > 1:
            raise InputError(f"{source}: holds pictures of several sizes")
        shrunk.append(shrink(pixels))
    return clip(shrunk, digest, FOLDER_FPS, indices, length, "pictures")


def from_picture(
    source: Path, digest: str, video: FrameBudget, start: float | None, end: float | None
) -> Clip:
    """A picture, which has no place in time."""
    from PIL import Image
    from qwen_vl_utils.vision_process import smart_resize, to_rgb

    limits = {"min_pixels": video.picture_min_pixels, "max_pixels": video.picture_max_pixels}
    with Image.open(source) as picture:
        opened = to_rgb(picture)
        height, width = smart_resize(opened.height, opened.width, video.side, **limits)
        pixels = np.array(opened.resize((width, height)))  # by Pillow, as qwen-vl-utils does it
    frames = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    return Clip(frames=frames, sample_fps=0.0, metadata={}, digest=digest)


def is_picture(path: Path) -> bool:
    """By its name: whether this shows a picture and no video."""
    return path.suffix.lower() in PICTURES


def clip(
    pictures: Sequence[np.ndarray],
    digest: str,
    fps: float,
    indices: list[int],
    length: int,
    backend: str,
) -> Clip:
    """Pictures and their places in time, as qwen-vl-utils describes them."""
    return Clip(
        frames=np.stack(pictures),
        sample_fps=len(indices) / length * fps,
        metadata={
            "fps": fps,
            "frames_indices": indices,
            "total_num_frames": length,  # of the part that is watched
            "video_backend": backend,
        },
        digest=digest,
    )


def chosen_frames(
    video: FrameBudget, total: int, fps: float, start: float | None, end: float | None
) -> tuple[list[int], int]:
    """qwen-vl-utils' choice of frames, and how many there are in the part that is watched."""
    import torch
    from qwen_vl_utils import vision_process

    element: dict[str, Any] = video.model_dump(include={"fps", "min_frames", "max_frames"})
    element |= {"video_start": start} if start is not None else {}
    element |= {"video_end": end} if end is not None else {}
    first, last, length = vision_process.calculate_video_frame_range(element, total, fps)
    if length < vision_process.FRAME_FACTOR:
        raise ValueError(f"{length} frame, and {vision_process.FRAME_FACTOR} are needed")
    number = vision_process.smart_nframes(element, total_frames=length, video_fps=fps)
    return torch.linspace(first, last, number).round().long().tolist(), length


class Shrinker:
    """Brings the frames of one clip to the size that qwen-vl-utils gives the first of them."""

    def __init__(self, video: FrameBudget, frames: int) -> None:
        self._video = video
        self._frames = frames
        self._size: list[int] = []

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 -> [3, h, w] uint8.

        qwen-vl-utils resizes bytes to bytes as well, and only then converts them to float: uint8
        loses nothing.
        """
        import torch
        from torchvision.transforms import InterpolationMode, functional

        self._size = self._size or frame_size(self._video, self._frames, *picture.shape[:2])
        shrunk: np.ndarray = functional.resize(
            torch.from_numpy(picture)[None].permute(0, 3, 1, 2),
            self._size,
            interpolation=InterpolationMode.BICUBIC,
            antialias=True,
        )[0].numpy()
        return shrunk


def frame_size(video: FrameBudget, frames: int, height: int, width: int) -> list[int]:
    """[height, width] of each of so many frames, by the rule inside qwen-vl-utils' fetch_video."""
    from qwen_vl_utils import vision_process

    fair = video.total_pixels / frames * vision_process.FRAME_FACTOR
    most = max(
        min(vision_process.VIDEO_MAX_TOKEN_NUM * video.side**2, fair), int(video.min_pixels * 1.05)
    )
    least, most = video.min_pixels, min(video.max_pixels, most)
    return list(
        vision_process.smart_resize(height, width, video.side, min_pixels=least, max_pixels=most)
    )


def pack(clip: Clip) -> tuple[bytes, memoryview]:
    """A line of JSON and the pixels: how a clip travels, and how it lies on the disk."""
    header = {
        "shape": clip.frames.shape,
        "sample_fps": clip.sample_fps,
        "metadata": clip.metadata,
        "digest": clip.digest,
    }
    return json.dumps(header).encode() + b"\n", np.ascontiguousarray(clip.frames).data.cast("B")


def unpack(header: dict[str, Any], pixels: bytes | memoryview) -> Clip:
    """What `pack` was given; the frames share the memory of the pixels."""
    frames = np.frombuffer(pixels, np.uint8).reshape(header.pop("shape"))
    return Clip(frames=frames, **header)


def first_line(error: BaseException) -> str:
    """The part of an exception that fits into a ledger."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
