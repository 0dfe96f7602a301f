"""Small models with a released model's words, numbers of tokens and layout; weights are random.

Everything but sizes is as released: 151,936 rows of embeddings, heads that share keys, windows of
112 pixels with blocks in between that see all, three layers of deep features, times of frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwen_words import MARKS, VOCABULARY, tokenizer
from small_models import write_model

from videothinker import cpu_torch
from videothinker.model.families.known import KNOWN

HEADS, KEYS, HEAD = 4, 2, 32


def write_real(out: Path, released: str, seed: int = 0) -> Path:
    """A folder like that of the released model; `released` is its name."""
    cpu_torch.install()
    words, tied = tokenizer(released), KNOWN[released].tied
    shape = qwen3_vl if released.startswith("Qwen3") else qwen2_5_vl
    model, processor = shape(words, {"tie_word_embeddings": tied, **MARKS})
    return write_model(out, model, processor, seed)


def language(words: Any, hidden: int, theta: float, **rope: Any) -> dict[str, Any]:
    """Four layers."""
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 4,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEYS,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta, **rope},
        "bos_token_id": words.pad_token_id,
        "eos_token_id": words.eos_token_id,
    }


def qwen2_5_vl(words: Any, common: dict[str, Any]) -> tuple[Any, Any]:
    """Every second block of the tower sees whole frames."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    hidden = HEADS * HEAD
    config = Qwen2_5_VLConfig(
        text_config=language(words, hidden, 1e6, mrope_section=[4, 6, 6]),
        vision_config={
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": hidden,
            "window_size": 112,
            "fullatt_block_indexes": [1, 3],
            "tokens_per_second": 2,
        },
        **common,
    )
    limits = {"shortest_edge": 4 * 28 * 28, "longest_edge": 16384 * 28 * 28}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=limits),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(size=limits, cap_pixels_per_frame=False),
        chat_template=words.chat_template,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def qwen3_vl(words: Any, common: dict[str, Any]) -> tuple[Any, Any]:
    """Heads are wider than the model is between layers, and the table of places is the real one."""
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    hidden = 64
    rope = {"mrope_section": [6, 5, 5], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config=language(words, hidden, 5e6, **rope) | {"head_dim": HEAD},
        vision_config={
            "depth": 4,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": hidden,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        **common,
    )
    sizes = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    video = {"shortest_edge": 4096, "longest_edge": 25_165_824}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(
            size={"shortest_edge": 65_536, "longest_edge": 16_777_216}, **sizes
        ),
        tokenizer=words,
        video_processor=Qwen3VLVideoProcessor(size=video, cap_pixels_per_frame=False, **sizes),
        chat_template=words.chat_template,
    )
    return Qwen3VLForConditionalGeneration(config), processor
