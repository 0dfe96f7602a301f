"""The tiny Qwen3-VL."""

from __future__ import annotations

from transformers import (
    PreTrainedTokenizerBase,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from videothinker.mini.base import tiny
from videothinker.mini.render import MEAN, STD
from videothinker.model.families.qwen3_vl import Qwen3VL

MROPE_SECTION = [6, 5, 5]
ROPE_THETA = 2000.0
PLACES = 64
"""Of the table that is stretched over a frame, whose 6 x 10 patches it so hardly has to be."""


class TinyQwen3VL(tiny.Tiny):
    """Patches of 14 pixels where the released models have 16, and the brightness of Qwen2.5-VL's:
    so a mini frame is the same numbers to both."""

    family = Qwen3VL

    @staticmethod
    def config(tokenizer: PreTrainedTokenizerBase) -> Qwen3VLConfig:
        rope = {
            "rope_theta": ROPE_THETA,
            "mrope_section": MROPE_SECTION,
            "mrope_interleaved": True,
        }
        vision = {"num_position_embeddings": PLACES, "deepstack_visual_indexes": [0]}
        return Qwen3VLConfig(
            text_config={**tiny.text_sizes(tokenizer, **rope), "head_dim": tiny.HEAD},
            vision_config=tiny.vision_sizes() | vision,
            **tiny.marks(tokenizer),
            **tiny.ends(tokenizer),
        )

    @staticmethod
    def processor(tokenizer: PreTrainedTokenizerBase) -> Qwen3VLProcessor:
        scale = {"image_mean": MEAN.tolist(), "image_std": STD.tolist()}
        sizes = {"size": tiny.LIMITS, **tiny.PATCHES, **scale}
        return Qwen3VLProcessor(
            image_processor=Qwen2VLImageProcessor(**sizes),
            tokenizer=tokenizer,
            video_processor=Qwen3VLVideoProcessor(cap_pixels_per_frame=False, **sizes),
            chat_template=tokenizer.chat_template,
        )
