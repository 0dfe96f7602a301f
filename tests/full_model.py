"""A Qwen2.5-VL of the 3B model's full size with random weights and Qwen's own tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from qwen_words import MARKS, tokenizer
from traced import random_model

from videothinker import cpu_torch
from videothinker.config.settings import DType, VideoConfig
from videothinker.files import whole_folder
from videothinker.model.checkpoint import Budget, write_budget
from videothinker.model.families.known import KNOWN

NAME = "Qwen2.5-VL-3B-Instruct"
VIDEO = VideoConfig(
    fps=2.0,
    min_frames=4,
    max_frames=4,
    min_pixels=112 * 112,
    max_pixels=112 * 112,
    total_pixels=4 * 112 * 112,
)
"""Little, because a CPU takes a second for every ten tokens of so large a model."""
BUDGET = Budget(dtype="bfloat16", video=VIDEO, max_tokens=16, max_model_len=2048)


def write_full_model(
    out: Path, *, layers: int = 36, blocks: int = 32, dtype: DType = "bfloat16"
) -> None:
    """The 3B model's shape, or some of its layers; answers of random weights are noise."""
    cpu_torch.install()
    from transformers import (
        GenerationConfig,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    words = tokenizer(NAME)
    shape = replace(KNOWN[NAME], layers=layers, vision_layers=blocks)
    model = random_model(shape, **MARKS).to(getattr(torch, dtype))
    model.generation_config = GenerationConfig(eos_token_id=[words.eos_token_id])
    limits = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16384 * 28 * 28}
    with whole_folder(out) as partial:
        model.save_pretrained(partial, max_shard_size="2GB")
        Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor(size=limits),
            tokenizer=words,
            video_processor=Qwen2VLVideoProcessor(size=limits, cap_pixels_per_frame=False),
            chat_template=words.chat_template,
        ).save_pretrained(partial)
        write_budget(partial, BUDGET.model_copy(update={"dtype": dtype}))
