"""Positions worked out by hand, of each family."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from videothinker.errors import InputError
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.model.families.qwen3_vl import Qwen3VL
from videothinker.types import Shown

VIDEO, PICTURE = 9, 8
VISION = SimpleNamespace(spatial_merge_size=2, tokens_per_second=2)
CONFIG = SimpleNamespace(video_token_id=VIDEO, image_token_id=PICTURE, vision_config=VISION)


def video(times: int, height: int, width: int, seconds: float = 1.0) -> Shown:
    return Shown(medium="video", grid=(times, height, width), seconds_per_grid=seconds, digest="")


def picture(height: int, width: int) -> Shown:
    return Shown(medium="picture", grid=(1, height, width), seconds_per_grid=0.0, digest="")


def positions_of(tokens: np.ndarray, *shown: Shown) -> np.ndarray:
    return Qwen25VL(CONFIG).positions(tokens, shown)


def test_text_after_a_video_goes_on_past_the_largest_position_of_any_axis() -> None:
    tokens = np.array([1, 2, *[VIDEO] * 6, 3, 4])  # 3 grids of 1 x 2 merged patches
    positions = positions_of(tokens, video(3, 2, 4))
    assert positions[0].tolist() == [0, 1, 2, 2, 4, 4, 6, 6, 7, 8]
    assert positions[1].tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 7, 8]
    assert positions[2].tolist() == [0, 1, 2, 3, 2, 3, 2, 3, 7, 8]


def test_a_clevrer_clip_resumes_its_text_seventeen_after_the_video_began() -> None:
    clip = video(5, 22, 34, 1.024)  # 308 x 476 pixels
    tokens = np.array([0] * 16 + [VIDEO] * (5 * 11 * 17) + [0])
    positions = positions_of(tokens, clip)
    assert positions[0, -1] == 16 + 17
    assert sorted(set(positions[0, 16:-1] - 16)) == [0, 2, 4, 6, 8]


def test_time_is_truncated_as_the_sampler_truncates_it() -> None:
    tokens = np.array([VIDEO] * 3)
    positions = positions_of(tokens, video(3, 2, 2, 0.7))
    assert positions[0].tolist() == [0, 1, 2]  # 0, 1.4, 2.8


def test_pictures_and_videos_follow_each_other_and_a_picture_has_no_time() -> None:
    tokens = np.array([1, *[PICTURE] * 2, 2, *[VIDEO] * 2, 3])
    positions = positions_of(tokens, picture(2, 4), video(2, 2, 2, 2.0))
    assert positions[0].tolist() == [0, 1, 1, 3, 4, 8, 9]
    assert positions[1].tolist() == [0, 1, 1, 3, 4, 4, 9]
    assert positions[2].tolist() == [0, 1, 2, 3, 4, 4, 9]


def test_words_alone_count_up_by_one() -> None:
    assert positions_of(np.array([1, 2, 3])).tolist() == [[0, 1, 2]] * 3


def test_a_prompt_with_too_few_or_too_many_tokens_for_what_it_shows_is_refused() -> None:
    for tokens in ([VIDEO, VIDEO, 1], [VIDEO] * 4, [PICTURE, *[VIDEO] * 3]):
        with pytest.raises(InputError, match="what it shows has 3"):
            positions_of(np.array(tokens), video(3, 2, 2))
    with pytest.raises(InputError, match="not in the order"):
        positions_of(np.array([VIDEO, PICTURE]), picture(2, 2), video(1, 2, 2))


def test_each_frame_of_qwen3_is_a_picture_of_its_own_after_its_time_in_words() -> None:
    tokens = np.array([1, 2, *[VIDEO] * 2, 3, 4, *[VIDEO] * 2, 5])
    positions = Qwen3VL(CONFIG).positions(tokens, [video(2, 2, 4)])
    assert positions[0].tolist() == [0, 1, 2, 2, 4, 5, 6, 6, 8]
    assert positions[1].tolist() == [0, 1, 2, 2, 4, 5, 6, 6, 8]
    assert positions[2].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
