"""The only video decoder: a path and a budget become the frames a model sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videothinker import cpu_torch
from videothinker.config import VideoConfig
from videothinker.errors import InputError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """Sampled frames with what is needed to place them in time."""

    frames: torch.Tensor
    """[F, 3, H, W] float32 in 0..255, already at the size the model sees."""
    sample_fps: float
    metadata: dict[str, Any]
    digest: str


def clip_digest(path: Path, video: VideoConfig, start: float | None, end: float | None) -> str:
    """Content address: the file's bytes, the budget and the part that is watched."""
    content = hashlib.sha256(path.read_bytes())
    content.update(f"{video.model_dump_json()} {start} {end}".encode())
    return content.hexdigest()


def read_clip(
    path: Path, video: VideoConfig, start: float | None = None, end: float | None = None
) -> Clip:
    """Decode with decord through qwen-vl-utils, under limits that belong to this call."""
    if not path.is_file():
        raise InputError(f"{path}: no such video; check data.videos or prepare the data set again")
    cpu_torch.install()
    from qwen_vl_utils import vision_process

    # torchcodec would win where it is installed, and the choice would be printed
    vision_process.get_video_reader_backend = lambda: "decord"
    element: dict[str, Any] = {"video": str(path), **video.model_dump()}
    element |= {"video_start": start} if start is not None else {}
    element |= {"video_end": end} if end is not None else {}
    try:
        (frames, metadata), sample_fps = vision_process.fetch_video(
            element, return_video_sample_fps=True, return_video_metadata=True
        )
    except (RuntimeError, ValueError, OSError, AttributeError) as error:
        # AttributeError: after decord fails, qwen-vl-utils falls back to a torchvision reader that
        # current torchvision no longer has.
        raise InputError(f"{path}: cannot be decoded ({first_line(error)})") from error
    digest = clip_digest(path, video, start, end)
    return Clip(frames=frames, sample_fps=float(sample_fps), metadata=metadata, digest=digest)


def first_line(error: BaseException) -> str:
    """The part of an exception that fits into a ledger."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
