"""What tiny models of every family have in common: sizes, special tokens, limits of pictures."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase

from videothinker.mini.render import HEIGHT, MERGE, PATCH, TEMPORAL, WIDTH
from videothinker.mini.sprites import CELL
from videothinker.model.families.family import Family

HEAD = 32
HIDDEN = 96
LAYERS = 4
VISION_HIDDEN = 64
VISION_LAYERS = 2
LIMITS = {"shortest_edge": CELL * CELL, "longest_edge": HEIGHT * WIDTH * 64}
"""Their lower one lets a mini frame through unscaled."""
PATCHES = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": TEMPORAL}
"""A mini cell is one token in every family."""


class Tiny(ABC):
    """A genuine model of one family, small enough to train on a laptop: same classes, same files;
    only sizes differ."""

    family: ClassVar[type[Family]]

    @staticmethod
    @abstractmethod
    def config(tokenizer: PreTrainedTokenizerBase) -> Any:
        """The architecture, as transformers has it."""

    @staticmethod
    @abstractmethod
    def processor(tokenizer: PreTrainedTokenizerBase) -> Any:
        """The family's own, for frames of the mini world."""


def ends(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a text begins and ends with, and that the words are read and written by one table."""
    token = tokenizer.convert_tokens_to_ids
    return {
        "bos_token_id": token("<|endoftext|>"),
        "eos_token_id": token("<|im_end|>"),
        "pad_token_id": token("<|endoftext|>"),
        "tie_word_embeddings": True,
    }


def marks(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Tokens around and in place of what is shown."""
    token = tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
    }


def text_sizes(tokenizer: PreTrainedTokenizerBase, **rope: Any) -> dict[str, Any]:
    """Of the language model; `rope`: how it counts positions."""
    return {
        "vocab_size": 64 * math.ceil(len(tokenizer) / 64),
        "hidden_size": HIDDEN,
        "intermediate_size": 256,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HIDDEN // HEAD,
        "num_key_value_heads": HIDDEN // HEAD,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", **rope},
        **ends(tokenizer),
    }


def vision_sizes() -> dict[str, Any]:
    """Of the vision tower."""
    return {
        "depth": VISION_LAYERS,
        "hidden_size": VISION_HIDDEN,
        "intermediate_size": 128,
        "num_heads": VISION_HIDDEN // HEAD,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": TEMPORAL,
        "out_hidden_size": HIDDEN,
    }
