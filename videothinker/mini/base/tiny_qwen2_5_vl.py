"""The tiny Qwen2.5-VL, which comes with the package warm-started."""

from __future__ import annotations

from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from videothinker.mini.base import tiny
from videothinker.mini.sprites import CELL
from videothinker.model.families.qwen2_5_vl import Qwen25VL

MROPE_SECTION = [4, 6, 6]
ROPE_THETA = 2000.0
"""Large enough that words find what the video shows by likeness, however far apart they stand."""


class TinyQwen25VL(tiny.Tiny):
    """All of its tower's blocks see whole frames."""

    family = Qwen25VL

    @staticmethod
    def config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
        rope = {"rope_theta": ROPE_THETA, "mrope_section": MROPE_SECTION}
        vision = {
            "tokens_per_second": 2,
            "window_size": 4 * CELL,
            "fullatt_block_indexes": list(range(tiny.VISION_LAYERS)),
        }
        return Qwen2_5_VLConfig(
            text_config=tiny.text_sizes(tokenizer, **rope),
            vision_config=tiny.vision_sizes() | vision,
            **tiny.marks(tokenizer),
            **tiny.ends(tokenizer),
        )

    @staticmethod
    def processor(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLProcessor:
        return Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor(size=tiny.LIMITS, **tiny.PATCHES),
            tokenizer=tokenizer,
            video_processor=Qwen2VLVideoProcessor(
                size=tiny.LIMITS, cap_pixels_per_frame=False, **tiny.PATCHES
            ),
            chat_template=tokenizer.chat_template,
        )
