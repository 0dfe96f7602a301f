"""A genuine Qwen2.5-VL checkpoint small enough to train on a laptop: same classes, same files."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from videothinker.config.settings import VideoConfig
from videothinker.files import require_new, whole_folder
from videothinker.mini.base.habits import measure
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.base.warmstart import WarmStart, warm_start
from videothinker.mini.render import HEIGHT, MERGE, PATCH, TEMPORAL, WIDTH
from videothinker.mini.sprites import CELL
from videothinker.mini.world import FPS, FRAMES
from videothinker.mini.write import Progress
from videothinker.model.checkpoint import Budget, write_budget

HEAD = 32
HIDDEN = 96
LAYERS = 4
VISION_HIDDEN = 64
VISION_LAYERS = 2
MROPE_SECTION = [4, 6, 6]
ROPE_THETA = 2000.0
"""Large enough that words find what the video shows by likeness, however far apart they stand."""

BUDGET = Budget(
    dtype="float32",
    video=VideoConfig(
        fps=FPS,
        min_frames=FRAMES,
        max_frames=FRAMES,
        min_pixels=HEIGHT * WIDTH,
        max_pixels=HEIGHT * WIDTH,
        total_pixels=FRAMES * HEIGHT * WIDTH,
    ),
    max_tokens=48,
    max_model_len=512,
)
"""What a base is warm-started on: whole videos of the default world, answers of about 20 tokens."""


def make_config(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLConfig:
    """The architecture; only sizes differ from the real model's."""
    token = tokenizer.convert_tokens_to_ids
    shared = {
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
        "tie_word_embeddings": True,
    }
    text = {
        "vocab_size": 64 * math.ceil(len(tokenizer) / 64),
        "hidden_size": HIDDEN,
        "intermediate_size": 256,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HIDDEN // HEAD,
        "num_key_value_heads": HIDDEN // HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": ROPE_THETA,
            "mrope_section": MROPE_SECTION,
        },
        **shared,
    }
    vision = {
        "depth": VISION_LAYERS,
        "hidden_size": VISION_HIDDEN,
        "intermediate_size": 128,
        "num_heads": VISION_HIDDEN // HEAD,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": TEMPORAL,
        "tokens_per_second": 2,
        "window_size": 4 * CELL,
        "fullatt_block_indexes": list(range(VISION_LAYERS)),
        "out_hidden_size": HIDDEN,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        **shared,
    )


def make_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """Random weights at the scale 1 / sqrt(fan in), at which so small a model learns fastest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(make_config(tokenizer))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    fan_in = parameter[0].numel()
                    parameter.normal_(0.0, fan_in**-0.5, generator=generator)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
    )
    return model


def make_processor(tokenizer: PreTrainedTokenizerBase) -> Qwen2_5_VLProcessor:
    """Qwen's processors; their lower limit lets a mini frame through unscaled."""
    limits = {"shortest_edge": CELL * CELL, "longest_edge": HEIGHT * WIDTH * 64}
    sizes = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": TEMPORAL}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=limits, **sizes),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=limits, cap_pixels_per_frame=False, **sizes),
        chat_template=tokenizer.chat_template,
    )


def save_base(
    model: Qwen2_5_VLForConditionalGeneration, out: Path, budget: Budget | None = None
) -> None:
    """Write everything that transformers and vLLM need to load the model; all of it or nothing."""
    with whole_folder(out) as partial:
        model.save_pretrained(partial)
        make_processor(make_tokenizer()).save_pretrained(partial)
        if budget is not None:
            write_budget(partial, budget)


def random_base(out: Path, seed: int) -> None:
    """An untrained checkpoint: what tests of everything but learning need."""
    save_base(make_model(make_tokenizer(), seed), out)


def build_base(
    out: Path,
    *,
    seed: int,
    settings: WarmStart | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Write a warm-started checkpoint; returns the last losses and what the model then does.

    The same seed and settings give the same weights on the same kind of processor; on one thread,
    because sums over several differ with their number.
    """
    require_new(out)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        final = warm_start(model, tokenizer, seed, settings or WarmStart(), progress)
    finally:
        torch.set_num_threads(threads)
    save_base(model, out, BUDGET)
    return {f"loss_{name}": value for name, value in final.items()} | measure(out)
