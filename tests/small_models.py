"""Small models of each family with a real model's shape: heads that share keys, windows, deep
features, pooled frames; random numbers that are large enough for a wrong place or pixel to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from videothinker import cpu_torch
from videothinker.files import whole_folder
from videothinker.mini.base.tokenizer import make_tokenizer


def write_qwen3_vl(out: Path, *, tied: bool = True, seed: int = 0) -> Path:
    """A Qwen3-VL of 4 layers, of which the first two are shown deep features, with the mini
    world's words."""
    cpu_torch.install()
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokenizer = make_tokenizer()
    token = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": 64 * -(-len(tokenizer) // 64),
            "hidden_size": 96,
            "intermediate_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 2000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "tie_word_embeddings": tied,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": 96,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=tied,
    )
    limits = {"shortest_edge": 1, "longest_edge": 2**20}
    sizes = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=limits, **sizes),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=limits, cap_pixels_per_frame=False, **sizes),
        chat_template=tokenizer.chat_template,
    )
    return write_model(out, Qwen3VLForConditionalGeneration(config), processor, seed)


FRAME = 80
"""Pixels along each side of what a small LLaVA-OneVision is shown: 5 patches and a rest; a frame of
a video keeps 3."""
LLAVA_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
    "{%- for kind in ('image', 'video') -%}"
    "{%- for item in message['content'] if item['type'] == kind -%}"
    "{{- '<' + kind + '>\\n' -}}"
    "{%- endfor -%}"
    "{%- endfor -%}"
    "{%- for item in message['content'] if item['type'] == 'text' -%}"
    "{{- item['text'] -}}"
    "{%- endfor -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
"""As LLaVA-OneVision's: pictures, then videos, then words, whatever their order."""


def write_llava_onevision(
    out: Path, *, tied: bool = True, seed: int = 0, words: Any = None, frame: int = FRAME
) -> Path:
    """A LLaVA-OneVision of 3 layers on 2 of SigLIP's, with the mini world's words or others; its
    weights have the names of released checkpoints, which vLLM reads, not those that a new model is
    saved with.
    """
    cpu_torch.install()
    from safetensors.torch import load_file, save_file
    from tokenizers import AddedToken
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokenizer = words or make_tokenizer()
    marks = [AddedToken(f"<{kind}>", special=True, normalized=False) for kind in ("image", "video")]
    tokenizer.add_tokens(marks, True)
    config = LlavaOnevisionConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": 64 * -(-len(tokenizer) // 64),
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 2000.0},
            "tie_word_embeddings": tied,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_attention_heads": 2,
            "image_size": frame,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[frame, frame], [frame, 2 * frame], [2 * frame, frame]],
        tie_word_embeddings=tied,
    )
    size = {"height": frame, "width": frame}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(
            size=size, image_grid_pinpoints=config.image_grid_pinpoints
        ),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(frame // 14) ** 2,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
    )
    write_model(out, LlavaOnevisionForConditionalGeneration(config), processor, seed)
    weights, tower = out / "model.safetensors", "vision_tower."
    tensors = load_file(weights).items()
    renamed = {name.replace(tower, f"{tower}vision_model."): value for name, value in tensors}
    save_file(renamed, weights, {"format": "pt"})
    return out


def write_model(out: Path, model: Any, processor: Any, seed: int) -> Path:
    """With numbers that a seed gives."""
    from transformers import GenerationConfig

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.normal_(0.0, 1.5 * fan_in**-0.5, generator=generator)
            elif "norm" in name or "ln_q" in name:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.normal_(0.0, 0.1, generator=generator)
    tokenizer = processor.tokenizer
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    with whole_folder(out) as partial:
        model.save_pretrained(partial)
        processor.save_pretrained(partial)
    return out


def write_qwen2_vl(out: Path, seed: int = 0, words: Any = None) -> Path:
    """A Qwen2-VL of 2 layers, with the mini world's words or others."""
    cpu_torch.install()
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = words or make_tokenizer()
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 64 * -(-len(tokenizer) // 64),
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 2000.0,
                "mrope_section": [4, 6, 6],
            },
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={"depth": 2, "embed_dim": 64, "hidden_size": 128, "num_heads": 2},
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    limits = {"shortest_edge": 1, "longest_edge": 2**20}
    sizes = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=limits, **sizes),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=limits, cap_pixels_per_frame=False, **sizes),
        chat_template=tokenizer.chat_template,
    )
    return write_model(out, Qwen2VLForConditionalGeneration(config), processor, seed)
