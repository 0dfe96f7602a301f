"""A group of the paper's shape that nobody sampled, and a model small enough to train on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from videothinker import cpu_torch
from videothinker.method.objective import policy_loss
from videothinker.model.families.known import family_in
from videothinker.model.policy import completion_mask
from videothinker.types import Prompt, Question, Shown

GRID = (5, 22, 34)
"""CLEVRER's ten frames of 308 x 476 pixels: 935 visual tokens."""
WORDS_BEFORE, WORDS_AFTER = 15, 102
LENGTHS = (150, 131, 166, 144, 159, 138, 172, 140)


def paper_like_model() -> Any:
    """Random weights; a sixteenth of the 3B model's width, a ninth of its layers."""
    cpu_torch.install()
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": 2_432,
        "hidden_size": 128,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [4, 6, 6],
        },
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": 4,
        "hidden_size": 80,
        "intermediate_size": 214,
        "num_heads": 2,
        "fullatt_block_indexes": [3],
        "out_hidden_size": 128,
    }
    tokens = ("image", "video", "vision_start", "vision_end")
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        **{f"{name}_token_id": number for number, name in enumerate(tokens)},
    )
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    return Qwen2_5_VLForConditionalGeneration(config).train()


def made_up_group(
    model: Any, grid: tuple[int, int, int], words_after: int, lengths: tuple[int, ...]
) -> tuple[Prompt, list[np.ndarray]]:
    """A prompt with so many words after its video, and its completions."""
    random = np.random.default_rng(0)
    family = family_in(model.config)
    shown = (Shown(medium="video", grid=grid, seconds_per_grid=1.0, digest=""),)
    marks = np.full(family.tokens_of(shown[0]), family.marks["video"])

    def words(number: int) -> np.ndarray:
        return random.integers(5, 100, size=number)  # nothing special in either model

    token_ids = np.concatenate([words(WORDS_BEFORE), marks, words(words_after)])
    positions = family.positions(token_ids, shown)
    pixels = (family.rows_of(shown[0]), *family.empty()[0].shape[1:])
    prompt = Prompt(
        question=Question(id="made/up", video="", text="", options=(), answer="A"),
        token_ids=token_ids,
        next_position=int(positions.max()) + 1,
        pixel_values=random.normal(size=pixels).astype(np.float32),
        shown=shown,
    )
    return prompt, [words(length) for length in lengths]


def loss_of(logp: Tensor, lengths: tuple[int, ...] = LENGTHS) -> Tensor:
    """The objective with an anchor, on made-up advantages."""
    mask = completion_mask(lengths, logp.device)
    anchor = logp.detach() - 0.1
    advantages = torch.linspace(-1, 1, len(lengths))
    loss, _ = policy_loss(
        logp, logp.detach(), anchor, advantages, mask, direction="repel", coefficient=0.01
    )
    return loss
