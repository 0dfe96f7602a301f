"""How large a Qwen2.5-VL is, from its config.json alone: every parameter counted by formula.

Planning a run needs no weights, and for the models named in KNOWN not even their folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videothinker.config.settings import DType, Part
from videothinker.errors import InputError

LOGITS_AT_ONCE = {"cpu": 2**24, "cuda": 2**26}
"""Scores over the vocabulary that exist at one time: 64 MiB of float32, and 256."""
TOKENS_AT_ONCE = 2048
"""Of a row that holds several groups. Small groups share a row because each pass costs time of its
own; one of the paper's is longer than this, and has one to itself."""
PREFILL_AT_ONCE = {"cpu": 4096, "cuda": 8192}
DECODED_AT_ONCE = 256
"""Tokens of prompts, and completions, that an engine takes into one step at most."""
BYTES = {"float32": 4, "bfloat16": 2}
CHANNELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """The sizes that memory and time follow from."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    """Whether the output head is the embeddings."""
    vision_hidden: int
    vision_layers: int
    vision_intermediate: int
    patch: int = 14
    temporal_patch: int = 2
    merge: int = 2
    vision_heads: int = 16

    @property
    def head_dim(self) -> int:
        """Of one attention head."""
        return self.hidden // self.heads

    @property
    def layer(self) -> int:
        """Parameters of one layer of the language model: projections q, k, v with biases, o, a
        gated MLP and two norms."""
        keys = self.kv_heads * self.head_dim
        attention = 2 * self.hidden**2 + 2 * self.hidden * keys + self.hidden + 2 * keys
        return attention + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def embeddings(self) -> int:
        """Parameters of embeddings and output head, which may be the same."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def vision_block(self) -> int:
        """Parameters of one block of the vision tower; here the MLP has biases as well."""
        width, inner = self.vision_hidden, self.vision_intermediate
        return 4 * width**2 + 4 * width + 3 * width * inner + 2 * inner + width + 2 * width

    @property
    def vision(self) -> int:
        """Parameters of the vision tower without its merger."""
        return self.vision_layers * self.vision_block + self.pixels_per_patch * self.vision_hidden

    @property
    def merger(self) -> int:
        """Parameters of what turns patches into tokens of the language model."""
        width = self.vision_hidden * self.merge**2
        return self.vision_hidden + width**2 + width + width * self.hidden + self.hidden

    @property
    def parameters(self) -> int:
        return self.language + self.embeddings + self.vision + self.merger

    @property
    def language(self) -> int:
        """Parameters of the language model between embeddings and head."""
        return self.layers * self.layer + self.hidden

    @property
    def pixels_per_patch(self) -> int:
        """Numbers that stand for one patch in a Prompt."""
        return CHANNELS * self.temporal_patch * self.patch**2

    def trained(self, freeze: Sequence[Part]) -> int:
        """Parameters with a gradient, by what `learner.freeze` leaves."""
        parts = {
            "vision": self.vision,
            "merger": self.merger,
            "embeddings": self.embeddings,
            "layers": self.language,
        }
        return sum(size for part, size in parts.items() if part not in freeze)

    def cache_bytes(self, dtype: DType) -> int:
        """What one token takes in a sampler's key-value cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BYTES[dtype]


QWEN_VISION = {"vision_hidden": 1280, "vision_layers": 32, "vision_intermediate": 3420}
KNOWN = {
    "Qwen2.5-VL-3B-Instruct": ModelShape(
        hidden=2048,
        layers=36,
        heads=16,
        kv_heads=2,
        intermediate=11008,
        vocabulary=151_936,
        tied=True,
        **QWEN_VISION,
    ),
    "Qwen2.5-VL-7B-Instruct": ModelShape(
        hidden=3584,
        layers=28,
        heads=28,
        kv_heads=4,
        intermediate=18_944,
        vocabulary=152_064,
        tied=False,
        **QWEN_VISION,
    ),
}
"""Models that can be planned for without being here, by the name of their folder."""


def shape_of(model: Path) -> ModelShape:
    """The shape of the checkpoint in a folder, or of the known model that the folder is named
    after."""
    file = model / "config.json"
    if not file.is_file():
        name = model.name if model.is_absolute() else Path(str(model).partition("@")[0]).name
        if name in KNOWN:
            return KNOWN[name]
        raise InputError(
            f"{file}: no such file, so the model's size is unknown; name a checkpoint's folder"
            f" (model.path=DIR), or one called {' or '.join(KNOWN)}"
        )
    try:
        return read_shape(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: not the configuration of a Qwen2.5-VL ({type(error).__name__}: {error}); "
            "name the folder of a Hugging Face checkpoint: model.path=DIR"
        ) from error


def read_shape(document: Mapping[str, Any]) -> ModelShape:
    """From a config.json, whose language model has a section of its own since transformers 4.52."""
    text = document.get("text_config") or document
    vision = document["vision_config"]
    return ModelShape(
        hidden=int(text["hidden_size"]),
        layers=int(text["num_hidden_layers"]),
        heads=int(text["num_attention_heads"]),
        kv_heads=int(text["num_key_value_heads"]),
        intermediate=int(text["intermediate_size"]),
        vocabulary=int(text["vocab_size"]),
        tied=bool(document.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        vision_hidden=int(vision["hidden_size"]),
        vision_layers=int(vision["depth"]),
        vision_intermediate=int(vision["intermediate_size"]),
        patch=int(vision.get("patch_size", 14)),
        temporal_patch=int(vision.get("temporal_patch_size", 2)),
        merge=int(vision.get("spatial_merge_size", 2)),
        vision_heads=int(vision.get("num_heads", 16)),
    )
