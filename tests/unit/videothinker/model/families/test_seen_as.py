"""Views of small prompts, worked out by hand, where a patch is a row and where it is not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from builders import question

from videothinker.config.kl import AnchorView
from videothinker.model.families.family import Family
from videothinker.model.families.llava_onevision import LlavaOnevision
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.model.families.qwen3_vl import Qwen3VL
from videothinker.types import Medium, Prompt, Shown

VIDEO, PICTURE = 9, 8
QWEN = SimpleNamespace(
    video_token_id=VIDEO,
    image_token_id=PICTURE,
    vision_config=SimpleNamespace(spatial_merge_size=2),
)
LLAVA = SimpleNamespace(
    video_token_index=VIDEO,
    image_token_index=PICTURE,
    vision_config=SimpleNamespace(image_size=7, patch_size=2),
)
"""Three patches a side, of which two and one are merged, and a border of one pixel."""


def shown(medium: Medium, *grid: int) -> Shown:
    times, height, width = grid
    return Shown(medium=medium, grid=(times, height, width), seconds_per_grid=1.0, digest="")


def prompt_of(family: Family, *parts: Shown, shape: tuple[int, ...], about: str = "q") -> Prompt:
    """Whose pixels count up from 1; only what is shown, and a word."""
    marks = [[family.marks[one.medium]] * family.tokens_of(one) for one in parts]
    tokens = np.array([*(token for some in marks for token in some), 1])
    count = int(np.prod(shape))
    return Prompt(
        question=question(about),
        token_ids=tokens,
        next_position=0,
        pixel_values=np.arange(1, count + 1, dtype=np.float32).reshape(shape),
        shown=parts,
    )


def of_qwen(family: type[Family] = Qwen25VL) -> tuple[Family, Prompt]:
    """A picture of two merged patches, then a video of three times, two merged patches each."""
    made = family(QWEN)
    parts = shown("picture", 1, 2, 4), shown("video", 3, 2, 4)
    return made, prompt_of(made, *parts, shape=(8 + 24, 2))


@pytest.mark.parametrize("kind", [Qwen25VL, Qwen3VL])
def test_a_frame_of_qwens_is_eight_patches_again_and_again_and_a_picture_stays(
    kind: type[Family],
) -> None:
    family, prompt = of_qwen(kind)
    seen = family.seen_as(prompt, "frame").pixel_values
    assert np.array_equal(seen[:8], prompt.pixel_values[:8])
    middle = prompt.pixel_values[8 + 8 : 8 + 16]
    assert np.array_equal(seen[8:], np.concatenate([middle] * 3))


def test_shuffled_patches_stay_within_their_time() -> None:
    family, prompt = of_qwen()
    seen = family.seen_as(prompt, "shuffled").pixel_values
    assert np.array_equal(seen[:8], prompt.pixel_values[:8])
    first = seen[8::8, 0]  # of each time the first number
    assert sorted(first) == [17, 33, 49]
    assert first.tolist() != [17, 33, 49]
    assert np.array_equal(seen[8:].reshape(3, 16), first[:, None] + np.arange(16))


def test_nothing_is_seen_by_the_blind() -> None:
    family, prompt = of_qwen()
    assert not family.seen_as(prompt, "blind").pixel_values.any()


def test_four_patches_beside_each_other_are_masked_together_in_pictures_as_well() -> None:
    family, prompt = of_qwen()
    seen = family.seen_as(prompt, "masked").pixel_values
    merged, before = seen.reshape(8, 8), prompt.pixel_values.reshape(8, 8)
    hidden = ~merged.any(axis=1)
    assert (hidden[:2].sum(), hidden[2:].sum()) == (1, 4)  # .6 of 2, and of 6
    assert np.array_equal(merged[~hidden], before[~hidden])


def of_llava() -> tuple[Family, Prompt]:
    family = LlavaOnevision(LLAVA)
    return family, prompt_of(family, shown("video", 3, 3, 3), shape=(3, 3, 7, 7))


def test_a_frame_of_llavas_is_whole() -> None:
    family, prompt = of_llava()
    seen = family.seen_as(prompt, "frame").pixel_values
    assert np.array_equal(seen, np.stack([prompt.pixel_values[1]] * 3))


def test_llavas_masks_are_squares_of_two_patches_cut_off_at_the_border() -> None:
    family, prompt = of_llava()
    seen = family.seen_as(prompt, "masked").pixel_values
    hidden = 0
    for frame, before in zip(seen, prompt.pixel_values, strict=True):
        for rows in (slice(0, 4), slice(4, 7)):
            for columns in (slice(0, 4), slice(4, 7)):
                part = frame[:, rows, columns]
                assert not part.any() or np.array_equal(part, before[:, rows, columns])
                hidden += not part.any()
    assert hidden == 7  # of 12


@pytest.mark.parametrize("view", ["video", "blind", "frame", "shuffled", "masked"])
def test_all_but_pixels_stays_and_a_prompt_of_which_nothing_is_taken_is_the_same(
    view: AnchorView,
) -> None:
    family, prompt = of_qwen()
    seen = family.seen_as(prompt, view)
    assert (seen is prompt) == (view == "video")
    assert seen.pixel_values.shape == prompt.pixel_values.shape
    assert seen.pixel_values.dtype == np.float32
    assert (seen.token_ids is prompt.token_ids, seen.shown) == (True, prompt.shown)
    again = family.seen_as(prompt, view)
    assert np.array_equal(again.pixel_values, seen.pixel_values)
    words = prompt_of(family, shape=(0, 0))
    assert family.seen_as(words, view) is words
    picture = prompt_of(family, shown("picture", 1, 2, 4), shape=(8, 2))
    kept = view in ("video", "frame", "shuffled")
    assert (family.seen_as(picture, view) is picture) == kept


def test_another_question_has_another_mask() -> None:
    family, prompt = of_qwen()
    other = prompt_of(family, *prompt.shown, shape=(32, 2), about="another")
    seen = [family.seen_as(one, "masked").pixel_values for one in (prompt, other)]
    assert not np.array_equal(*seen)
