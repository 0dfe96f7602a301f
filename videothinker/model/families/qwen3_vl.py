"""Qwen3-VL, dense: times of frames as words between them, and features for its first layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from videothinker.config.learner import Part
from videothinker.model.families.family import PackedTokens, counted, laid_out
from videothinker.model.families.qwen import Qwen, grid_of, part_of, text_sizes, vision_sizes
from videothinker.model.shape import ModelShape
from videothinker.types import Shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen3Shape(ModelShape):
    """No biases in the language model, whose heads have norms of their own; a plain MLP with
    biases in the tower, a table of places, and a merger for each of its layers that is shown."""

    patch: int = 16
    temporal_patch: int = 2
    merge: int = 2
    vision_heads: int = 16
    places: int = 2304
    """Of the table that is stretched over a picture."""
    deep: int = 3
    """Layers of the tower that the first ones of the language model are shown."""

    @property
    def layer(self) -> int:
        both = self.heads + self.kv_heads
        attention = 2 * self.hidden * both * self.head_dim + 2 * self.head_dim
        return attention + 3 * self.hidden * self.intermediate + 2 * self.hidden

    @property
    def vision(self) -> int:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
        patches = self.pixels_per_patch * width + width
        return self.vision_layers * block + patches + self.places * width

    @property
    def merger(self) -> int:
        width = self.vision_hidden * self.merge**2
        products = width**2 + width + width * self.hidden + self.hidden
        return (1 + self.deep) * products + 2 * self.vision_hidden + self.deep * 2 * width

    @property
    def seeing(self) -> list[tuple[int, int]]:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
        merged = width * self.merge**2
        merger = [(merged, merged), (merged, self.hidden)]
        return self.vision_layers * block + (1 + self.deep) * merger


def released(hidden: int, layers: int, heads: int, intermediate: int, *, tied: bool) -> Qwen3Shape:
    """A model with 8 heads of keys; the smaller ones have the smaller tower."""
    tower = {"vision_hidden": 1152, "vision_layers": 27, "vision_intermediate": 4304}
    if tied:
        tower = {"vision_hidden": 1024, "vision_layers": 24, "vision_intermediate": 4096}
    return Qwen3Shape(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=8,
        head_dim=128,
        intermediate=intermediate,
        vocabulary=151_936,
        tied=tied,
        **tower,
    )


SIZES = {
    "2B": released(2048, 28, 16, 6144, tied=True),
    "4B": released(2560, 36, 32, 9728, tied=True),
    "8B": released(4096, 36, 32, 12_288, tied=False),
    "32B": released(5120, 64, 64, 25_600, tied=False),
}


class Qwen3VL(Qwen):
    """A video is its frames, each between its own start and end, after its time in words.

    transformers 5.19 and vLLM 0.32 keep the template's own start and end around all of them, which
    the code that the models were released with dropped; prompts are as these two make them.
    """

    title = "Qwen3-VL"
    model_type = "qwen3_vl"
    released: ClassVar[Mapping[str, ModelShape]] = {
        f"Qwen3-VL-{size}-{kind}": shape
        for size, shape in SIZES.items()
        for kind in ("Instruct", "Thinking")
    }

    @staticmethod
    def model_class() -> Any:
        from transformers import Qwen3VLForConditionalGeneration

        return Qwen3VLForConditionalGeneration

    @staticmethod
    def processor_class() -> Any:
        from transformers import Qwen3VLProcessor

        return Qwen3VLProcessor

    @staticmethod
    def shape(document: Mapping[str, Any]) -> ModelShape:
        vision = document["vision_config"]
        return Qwen3Shape(
            **text_sizes(document),
            **vision_sizes(vision, 16),
            places=int(vision.get("num_position_embeddings", 2304)),
            deep=len(vision["deepstack_visual_indexes"]),
        )

    @staticmethod
    def part_of(parameter: str) -> Part:
        return part_of(parameter, ("merger.", "deepstack_merger_list."))

    def positions(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        blocks = []
        for one, places in zip(shown, self.marked(token_ids, shown), strict=True):
            frames = np.split(self._block(one), one.grid[0], axis=1)
            for place, frame in zip(np.split(places, one.grid[0]), frames, strict=True):
                frame[0] = 0
                blocks.append((int(place[0]), frame))
        return counted(len(token_ids), blocks)

    def span(self, shown: Shown, first: int, last: int) -> tuple[int, int]:
        # vLLM looks for a frame's start from where its video begins
        return (first, last + 1) if shown.medium == "picture" else (first - 1, last + 2)

    def patches(self, model: Any, shown: Sequence[Shown], device: torch.device) -> dict[str, Any]:
        from transformers.vision_utils import (
            get_vision_cu_seqlens,
            get_vision_interpolation_indices_and_weights,
            get_vision_position_ids,
        )

        from videothinker.model.attention import alone

        visual, grid = model.model.visual, grid_of(shown)
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=visual.num_grid_per_side,
            mode=visual.interpolation_mode,
            align_corners=visual.interpolation_align_corners,
            spatial_merge_size=visual.spatial_merge_size,
        )
        return {
            "grid_thw": grid,
            "position_ids": get_vision_position_ids(grid, visual.spatial_merge_size).to(device),
            "interp_indices": indices.to(device),
            "interp_weights": weights.to(device),
            "cu_seqlens": alone(get_vision_cu_seqlens(grid).diff().tolist(), device),
            "max_seqlen": int(grid[:, 1:].prod(1).max()),
        }

    def states(self, model: Any, row: PackedTokens) -> Tensor:
        inner, language = model.model, model.model.language_model
        seen = inner.visual(row.pixel_values, **row.patches)
        texts = inner.get_input_embeddings()(row.token_ids)
        hidden = laid_out(texts, seen.pooler_output, row)[None]
        rotation = language.rotary_emb(hidden, row.positions)
        deep = iter(seen.deepstack_features)
        for layer in language.layers:
            hidden = layer(hidden, attention_mask=row.sequences, position_embeddings=rotation)
            if (features := next(deep, None)) is not None:
                hidden = hidden.index_add(1, row.visual, features[None, : len(row.visual)])
        final: Tensor = language.norm(hidden)[0]
        return final
