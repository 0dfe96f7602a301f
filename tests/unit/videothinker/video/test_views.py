"""What a probe leaves of a clip."""

import numpy as np

from videothinker.video.frames import Clip
from videothinker.video.views import seen

FRAMES = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
CLIP = Clip(
    frames=FRAMES, sample_fps=2.0, metadata={"frames_indices": [0, 5, 10, 15, 20, 25]}, digest="d"
)


def test_the_whole_video_is_left_as_it_is() -> None:
    assert seen(CLIP, "video", "q") is CLIP


def test_one_frame_is_the_middle_one_twice() -> None:
    left = seen(CLIP, "frame", "q")
    assert left.frames.ravel().tolist() == [3, 3]
    assert left.metadata["frames_indices"] == [15, 15]


def test_shuffled_frames_are_all_there_in_the_order_of_the_seed() -> None:
    left = seen(CLIP, "shuffled", "q")
    order = left.frames.ravel().tolist()
    assert sorted(order) == list(range(6))
    assert order != list(range(6))
    assert order == seen(CLIP, "shuffled", "q").frames.ravel().tolist()
    assert order != seen(CLIP, "shuffled", "another").frames.ravel().tolist()


def test_no_two_views_share_an_address() -> None:
    clips = [
        CLIP,
        seen(CLIP, "frame", "q"),
        seen(CLIP, "shuffled", "q"),
        seen(CLIP, "shuffled", "r"),
    ]
    assert len({clip.digest for clip in clips}) == 4
