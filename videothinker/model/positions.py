"""Positions of the multimodal rotary embedding, as the sampler counts them.

transformers and vLLM disagree on where text goes on after a video: transformers 5.19 advances by
the larger merged side of the frame, vLLM goes on one past the largest position used on any axis.
The policy is trained on what was sampled, so vLLM's rule is the one that holds, and every forward
pass gets it explicitly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoGeometry:
    """The numbers of a Qwen2.5-VL configuration that decide where its video tokens sit."""

    video_token: int
    merge: int
    """Patches merged into one token along each side."""
    tokens_per_second: float


def mrope_positions(
    token_ids: np.ndarray,
    grid: tuple[int, int, int],
    seconds_per_grid: float,
    geometry: VideoGeometry,
) -> tuple[np.ndarray, int]:
    """Positions [3, P] of a prompt with one video, and the position its completion starts at."""
    is_video = token_ids == geometry.video_token
    times, rows, columns = grid[0], grid[1] // geometry.merge, grid[2] // geometry.merge
    if int(is_video.sum()) != times * rows * columns:
        raise AssertionError(
            f"{is_video.sum()} video tokens in the prompt, {times * rows * columns} in the grid"
        )
    start = int(np.argmax(is_video))
    end = start + times * rows * columns
    assert is_video[start:end].all(), "the video's tokens are not contiguous"

    per_grid = float(np.float32(seconds_per_grid)) * geometry.tokens_per_second  # vLLM's rounding
    ticks = (np.arange(times) * per_grid).astype(np.int64)
    video = np.stack(np.meshgrid(ticks, np.arange(rows), np.arange(columns), indexing="ij"))
    video = video.reshape(3, -1) + start
    resume = int(video.max()) + 1
    before = np.broadcast_to(np.arange(start), (3, start))
    after = np.broadcast_to(
        np.arange(resume, resume + len(token_ids) - end), (3, len(token_ids) - end)
    )
    positions = np.concatenate([before, video, after], axis=1).astype(np.int64)
    return positions, int(positions.max()) + 1
