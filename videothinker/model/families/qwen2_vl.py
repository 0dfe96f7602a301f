"""Qwen2-VL: as Qwen2.5-VL, with a tower without windows and positions that know no seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from videothinker.model.families.family import Features, counted
from videothinker.model.families.qwen import Qwen, grid_of, text_sizes
from videothinker.model.families.qwen2_5_vl import Qwen25Shape, Qwen25VL
from videothinker.model.shape import ModelShape
from videothinker.types import Medium, Shown

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Qwen2Shape(Qwen25Shape):
    """A plain MLP in the tower, and norms with biases."""

    @property
    def vision_block(self) -> int:
        width, inner = self.vision_hidden, self.vision_intermediate
        return 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width

    @property
    def merger(self) -> int:
        width = self.vision_hidden * self.merge**2
        return 2 * self.vision_hidden + width**2 + width + width * self.hidden + self.hidden

    @property
    def seeing(self) -> list[tuple[int, int]]:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = [(width, 3 * width), (width, width), (width, inner), (inner, width)]
        return self.vision_layers * block + self.merging


TOWER = {"vision_hidden": 1280, "vision_layers": 32, "vision_intermediate": 5120}


class Qwen2VL(Qwen25VL):
    """A video's times count up by one."""

    title = "Qwen2-VL"
    model_type = "qwen2_vl"
    released: ClassVar[Mapping[str, ModelShape]] = {
        "Qwen2-VL-2B-Instruct": Qwen2Shape(
            hidden=1536,
            layers=28,
            heads=12,
            kv_heads=2,
            head_dim=128,
            intermediate=8960,
            vocabulary=151_936,
            tied=True,
            **TOWER,
        ),
        "Qwen2-VL-7B-Instruct": Qwen2Shape(
            hidden=3584,
            layers=28,
            heads=28,
            kv_heads=4,
            head_dim=128,
            intermediate=18_944,
            vocabulary=152_064,
            tied=False,
            **TOWER,
        ),
    }

    @staticmethod
    def model_class() -> Any:
        from transformers import Qwen2VLForConditionalGeneration

        return Qwen2VLForConditionalGeneration

    @staticmethod
    def processor_class() -> Any:
        from transformers import Qwen2VLProcessor

        return Qwen2VLProcessor

    @staticmethod
    def shape(document: Mapping[str, Any]) -> ModelShape:
        vision = document["vision_config"]
        width = int(vision.get("embed_dim", 1280))
        return Qwen2Shape(
            **text_sizes(document),
            vision_hidden=width,
            vision_layers=int(vision.get("depth", 32)),
            vision_intermediate=int(vision.get("mlp_ratio", 4) * width),
            vision_heads=int(vision.get("num_heads", 16)),
            patch=int(vision.get("patch_size", 14)),
            merge=int(vision.get("spatial_merge_size", 2)),
            temporal_patch=int(vision.get("temporal_patch_size", 2)),
        )

    def positions(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        marks = self.marked(token_ids, shown)
        blocks = [(int(at[0]), self._block(one)) for one, at in zip(shown, marks, strict=True)]
        return counted(len(token_ids), blocks)

    def features(self, medium: Medium, parts: Sequence[tuple[Shown, np.ndarray]]) -> Features:
        return Qwen.features(self, medium, parts)

    def patches(self, model: Any, shown: Sequence[Shown], device: torch.device) -> dict[str, Any]:
        from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids

        from videothinker.model.attention import alone

        grid = grid_of(shown)
        return {
            "grid_thw": grid,
            "position_ids": get_vision_position_ids(grid, self._merge).to(device),
            "cu_seqlens": alone(get_vision_cu_seqlens(grid).diff().tolist(), device),
            "max_seqlen": int(grid[:, 1:].prod(1).max()),
        }
