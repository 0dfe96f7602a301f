"""Qwen2.5-VL: windows in the vision tower, and times of frames in the positions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from videothinker.config.learner import Part
from videothinker.model.families.family import Features, PackedTokens, counted, laid_out
from videothinker.model.families.qwen import (
    Qwen,
    biased_layer,
    grid_of,
    part_of,
    text_sizes,
    vision_sizes,
)
from videothinker.model.shape import ModelShape
from videothinker.types import Medium, Shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen25Shape(ModelShape):
    """Attention with biases at q, k and v; gated MLPs, in the tower with biases as well."""

    patch: int = 14
    temporal_patch: int = 2
    merge: int = 2
    vision_heads: int = 16

    @property
    def layer(self) -> int:
        return biased_layer(self)

    @property
    def vision_block(self) -> int:
        """Parameters of one block of the tower."""
        width, inner = self.vision_hidden, self.vision_intermediate
        return 4 * width**2 + 4 * width + 3 * width * inner + 2 * inner + width + 2 * width

    @property
    def vision(self) -> int:
        return self.vision_layers * self.vision_block + self.pixels_per_patch * self.vision_hidden

    @property
    def merger(self) -> int:
        width = self.vision_hidden * self.merge**2
        return self.vision_hidden + width**2 + width + width * self.hidden + self.hidden

    @property
    def seeing(self) -> list[tuple[int, int]]:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = [(width, 3 * width), (width, width), (width, inner), (width, inner), (inner, width)]
        return self.vision_layers * block + self.merging

    @property
    def merging(self) -> list[tuple[int, int]]:
        """The same of the merger alone."""
        width = self.vision_hidden * self.merge**2
        return [(width, width), (width, self.hidden)]


def released(hidden: int, layers: int, heads: int, kv_heads: int, **sizes: Any) -> Qwen25Shape:
    """A model whose heads have 128 features and whose tower is the common one."""
    common = {"head_dim": 128, "vision_hidden": 1280, "vision_layers": 32}
    common |= {"vision_intermediate": 3420, "vocabulary": 152_064, "tied": False}
    return Qwen25Shape(
        hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads, **common | sizes
    )


class Qwen25VL(Qwen):
    """Video tokens in one piece; text goes on one past the largest position on any axis.

    So vLLM counts, and what is sampled is what is trained on: transformers 5.19 goes on by the
    larger merged side of a frame, so every forward pass is given its positions.
    """

    title = "Qwen2.5-VL"
    model_type = "qwen2_5_vl"
    released: ClassVar[Mapping[str, ModelShape]] = {
        "Qwen2.5-VL-3B-Instruct": released(
            2048, 36, 16, 2, intermediate=11_008, vocabulary=151_936, tied=True
        ),
        "Qwen2.5-VL-7B-Instruct": released(3584, 28, 28, 4, intermediate=18_944),
        "Qwen2.5-VL-32B-Instruct": released(
            5120, 64, 40, 8, intermediate=27_648, vision_intermediate=3456
        ),
        "Qwen2.5-VL-72B-Instruct": released(
            8192, 80, 64, 8, intermediate=29_568, vision_intermediate=3456
        ),
    }

    @staticmethod
    def model_class() -> Any:
        from transformers import Qwen2_5_VLForConditionalGeneration

        return Qwen2_5_VLForConditionalGeneration

    @staticmethod
    def processor_class() -> Any:
        from transformers import Qwen2_5_VLProcessor

        return Qwen2_5_VLProcessor

    @staticmethod
    def shape(document: Mapping[str, Any]) -> ModelShape:
        return Qwen25Shape(**text_sizes(document), **vision_sizes(document["vision_config"], 14))

    @staticmethod
    def part_of(parameter: str) -> Part:
        return part_of(parameter, ("merger.",))

    def positions(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        blocks = []
        for one, places in zip(shown, self.marked(token_ids, shown), strict=True):
            block = self._block(one)
            if one.medium == "video":
                seconds = float(np.float32(one.seconds_per_grid))  # vLLM's rounding
                block[0] = block[0] * (seconds * self.config.vision_config.tokens_per_second)
            blocks.append((int(places[0]), block))
        return counted(len(token_ids), blocks)

    def span(self, shown: Shown, first: int, last: int) -> tuple[int, int]:
        return first, last + 1

    def features(self, medium: Medium, parts: Sequence[tuple[Shown, np.ndarray]]) -> Features:
        import torch

        features = super().features(medium, parts)
        if medium == "video":
            seconds = torch.tensor([one.seconds_per_grid for one, _ in parts])
            features["second_per_grid_ts"] = (seconds, None)
        return features

    def patches(self, model: Any, shown: Sequence[Shown], device: torch.device) -> dict[str, Any]:
        from transformers.vision_utils import (
            get_vision_cu_seqlens,
            get_vision_position_ids,
            get_vision_window_index,
        )

        from videothinker.model.attention import alone

        visual, grid = model.model.visual, grid_of(shown)
        merge = visual.spatial_merge_size
        index, near = get_vision_window_index(grid, merge, visual.window_size, visual.patch_size)
        far = get_vision_cu_seqlens(grid)
        return {
            "grid_thw": grid,
            "position_ids": get_vision_position_ids(grid, merge).to(device),
            "window_index": index.to(device),
            "cu_window_seqlens": alone(near.diff().tolist(), device),
            "cu_seqlens": alone(far.diff().tolist(), device),
        }

    def states(self, model: Any, row: PackedTokens) -> Tensor:
        inner = model.model
        features = inner.visual(row.pixel_values, **row.patches).pooler_output
        texts = inner.get_input_embeddings()(row.token_ids)
        hidden: Tensor = inner.language_model(
            inputs_embeds=laid_out(texts, features, row)[None],
            position_ids=row.positions,
            attention_mask={"full_attention": row.sequences},  # by type of layer
            use_cache=False,
        ).last_hidden_state[0]
        return hidden
