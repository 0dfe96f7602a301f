"""Pixels as bytes, normalised later: the processor's own numbers to the last bit, or its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    LlavaOnevisionImageProcessor,
    LlavaOnevisionVideoProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.video_utils import VideoMetadata

from videothinker.model.families.family import Family
from videothinker.model.families.llava_onevision import LlavaOnevision
from videothinker.model.families.pixels import colours_of, normalised
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.model.families.qwen3_vl import Qwen3VL
from videothinker.types import Medium
from videothinker.video.frames import Clip


class Words:
    """A processor's tokens, of no interest here: one for each thing shown."""

    image_token, video_token = "P", "V"

    def __init__(self, image_processor: Any, video_processor: Any) -> None:
        self.image_processor, self.video_processor = image_processor, video_processor

    def tokenizer(self, turns: str) -> dict[str, list[int]]:
        return {"input_ids": list(map(ord, turns))}

    def __call__(
        self, text: list[str], images: Any = (), videos: Any = (), **how: Any
    ) -> dict[str, Any]:
        metadata = how.pop("video_metadata", None), how.pop("do_sample_frames", None)
        found: dict[str, Any] = {"input_ids": [list(map(ord, text[0]))]}
        if len(images):
            found |= self.image_processor(images, **how)
        if len(videos):
            given = {"video_metadata": metadata[0], "do_sample_frames": metadata[1]}
            found |= self.video_processor(videos, **given, **how)
        return found


HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
FAMILIES: dict[str, Callable[[], Words]] = {
    "qwen2_vl, qwen2_5_vl": lambda: Words(
        Qwen2VLImageProcessor(), Qwen2VLVideoProcessor(cap_pixels_per_frame=False)
    ),
    "qwen3_vl": lambda: Words(
        Qwen2VLImageProcessor(patch_size=16, **HALF),
        Qwen3VLVideoProcessor(cap_pixels_per_frame=False),
    ),
    "llava_onevision": lambda: Words(
        LlavaOnevisionImageProcessor(), LlavaOnevisionVideoProcessor()
    ),
}
"""As the released models have them, by the families that read with them."""


def reader(name: str) -> Family:
    """Of a model's configuration nothing is asked but this."""
    if name == "llava_onevision":
        vision = SimpleNamespace(image_size=384, patch_size=14)
        marks = {"image_token_index": ord("P"), "video_token_index": ord("V")}
        return LlavaOnevision(SimpleNamespace(vision_config=vision, **marks))
    return (Qwen3VL if name == "qwen3_vl" else Qwen25VL)(SimpleNamespace())


def clip_of(*shape: int) -> Clip:
    frames = np.random.default_rng(shape).integers(0, 256, shape, np.uint8)
    metadata = VideoMetadata(fps=2.0, frames_indices=[*range(len(frames))], total_num_frames=9)
    return Clip(frames=frames, metadata=dict(metadata.__dict__), digest="", sample_fps=2.0)


SHOWN: dict[str, list[tuple[Medium, tuple[int, int]]]] = {
    "a picture": [("picture", (4, 6))],
    "a video": [("video", (6, 4))],
    "pictures and videos of several sizes": [
        ("picture", (2, 2)),
        ("video", (3, 5)),
        ("picture", (7, 3)),
        ("video", (5, 4)),
    ],
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_normalised_later_is_what_the_processor_makes(
    name: str, shown: list[tuple[Medium, tuple[int, int]]]
) -> None:
    processor = FAMILIES[name]()
    side = 32 if name == "qwen3_vl" else 28
    clips = [
        (medium, clip_of(1 if medium == "picture" else 5, 3, side * height, side * width))
        for medium, (height, width) in shown
    ]
    turns = "".join("P" if medium == "picture" else "V" for medium, _ in shown)
    colours = colours_of(processor)
    assert colours is not None
    raw, whole = (reader(name).read(processor, turns, clips, raw=raw) for raw in (True, False))
    assert (raw.pixel_values.dtype, whole.pixel_values.dtype) == (np.uint8, np.float32)
    assert raw.pixel_values.nbytes * 4 == whole.pixel_values.nbytes
    assert (raw.grids, raw.token_ids.tolist()) == (whole.grids, whole.token_ids.tolist())
    later = normalised(raw.pixel_values, colours)
    assert later.numpy().tobytes() == whole.pixel_values.tobytes()
    other = replace(colours, means=(0.0, *colours.means[1:]))
    assert not torch.equal(normalised(raw.pixel_values, other), later)


def test_each_channel_has_its_own_colours_and_what_is_normalised_stays() -> None:
    qwens = colours_of(FAMILIES["qwen2_vl, qwen2_5_vl"]())
    assert qwens is not None
    assert [round(mean / 255, 4) for mean in qwens.means] == [0.4815, 0.4578, 0.4082]
    done = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    assert normalised(done, None).numpy().tobytes() == done.tobytes()


def in_floats(processor: Any) -> None:
    """It resizes numbers between bytes."""
    resize = processor.resize
    processor.resize = lambda *args, **named: resize(
        *(one.float() if isinstance(one, torch.Tensor) else one for one in args),
        **{k: v.float() if isinstance(v, torch.Tensor) else v for k, v in named.items()},
    )


def in_one_step(processor: Any) -> None:
    """It multiplies and adds, which rounds otherwise."""

    def normalize(image: torch.Tensor, mean: Any, std: Any, **_: Any) -> torch.Tensor:
        return image * (1 / std)[:, None, None] - (mean / std)[:, None, None]

    processor.normalize = normalize


def with_other_colours(processor: Any) -> None:
    """Than the other medium has."""
    processor.image_mean = [0.5, 0.5, 0.5]


def without(processor: Any) -> None:
    """Bytes are divided by 255 and no more."""
    processor.do_normalize = False


@pytest.mark.parametrize("part", ["image_processor", "video_processor"])
@pytest.mark.parametrize("change", [in_floats, in_one_step, with_other_colours, without])
@pytest.mark.parametrize("name", ["qwen2_vl, qwen2_5_vl", "llava_onevision"])
def test_a_processor_that_has_other_numbers_normalises_itself(
    name: str, change: Callable[[Any], None], part: str
) -> None:
    processor = FAMILIES[name]()
    change(getattr(processor, part))
    assert colours_of(processor) is None
