"""Positions worked out by hand for the frames of a CLEVRER clip."""

from __future__ import annotations

import numpy as np
import pytest

from videothinker.model.positions import VideoGeometry, mrope_positions

VIDEO = 9
GEOMETRY = VideoGeometry(video_token=VIDEO, merge=2, tokens_per_second=2)


def test_text_after_a_video_goes_on_past_the_largest_position_of_any_axis() -> None:
    tokens = np.array([1, 2, *[VIDEO] * 6, 3, 4])  # 3 grids of 1 x 2 merged patches
    positions, resume = mrope_positions(tokens, (3, 2, 4), 1.0, GEOMETRY)
    assert positions[0].tolist() == [0, 1, 2, 2, 4, 4, 6, 6, 7, 8]
    assert positions[1].tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 7, 8]
    assert positions[2].tolist() == [0, 1, 2, 3, 2, 3, 2, 3, 7, 8]
    assert resume == 9


def test_a_clevrer_clip_resumes_its_text_seventeen_after_the_video_began() -> None:
    grid = (5, 22, 34)  # 308 x 476 pixels
    tokens = np.array([0] * 16 + [VIDEO] * (5 * 11 * 17) + [0])
    positions, _ = mrope_positions(tokens, grid, 1.024, GEOMETRY)
    assert positions[0, -1] == 16 + 17
    assert sorted(set(positions[0, 16:-1] - 16)) == [0, 2, 4, 6, 8]


def test_time_is_truncated_as_the_sampler_truncates_it() -> None:
    tokens = np.array([VIDEO] * 3)
    positions, _ = mrope_positions(tokens, (3, 2, 2), 0.7, GEOMETRY)
    assert positions[0].tolist() == [0, 1, 2]  # 0, 1.4, 2.8


def test_a_prompt_with_too_few_video_tokens_is_refused() -> None:
    with pytest.raises(AssertionError, match="2 video tokens in the prompt, 3 in the grid"):
        mrope_positions(np.array([VIDEO, VIDEO, 1]), (3, 2, 2), 1.0, GEOMETRY)
