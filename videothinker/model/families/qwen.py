"""What Qwen's families have in common: one processor's way with words, pictures and videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from videothinker.config.learner import Part
from videothinker.errors import InputError
from videothinker.model.families.family import Family, Features, Read
from videothinker.model.families.pixels import RAW
from videothinker.model.shape import ModelShape
from videothinker.types import Medium, Shown
from videothinker.video.frames import Clip

if TYPE_CHECKING:
    from torch import Tensor

NAMES: dict[Medium, tuple[str, str]] = {
    "picture": ("pixel_values", "image_grid_thw"),
    "video": ("pixel_values_videos", "video_grid_thw"),
}
"""Pixels and grids, as the processor and vLLM call them."""


class Qwen(Family):
    """A vision tower whose patches are merged in squares, and a language model on three axes."""

    owner = "Qwen"

    @property
    def forbidden(self) -> list[int]:
        names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        return sorted({getattr(self.config, name) for name in names})

    @property
    def marks(self) -> dict[Medium, int]:
        return {"picture": self.config.image_token_id, "video": self.config.video_token_id}

    @property
    def frames_together(self) -> int:
        return int(self.config.vision_config.temporal_patch_size)

    def read(
        self, processor: Any, turns: str, clips: Sequence[tuple[Medium, Clip]], *, raw: bool
    ) -> Read:
        import torch
        from transformers.video_utils import VideoMetadata

        if not clips:
            token_ids = processor.tokenizer(turns)["input_ids"]
            return Read(
                token_ids=np.asarray(token_ids, dtype=np.int64),
                pixel_values=np.empty((0, 0), np.uint8),
                grids=(),
            )
        media = [medium for medium, _ in clips]
        written: dict[Medium, str] = {
            "picture": processor.image_token,
            "video": processor.video_token,
        }
        for medium, mark in written.items():
            if turns.count(mark) != media.count(medium):
                raise InputError(f"the question's words hold {mark}; take that out")
        given: dict[str, Any] = dict(RAW) if raw else {}
        if pictures := [clip for medium, clip in clips if medium == "picture"]:
            given["images"] = [torch.from_numpy(np.array(clip.frames[0])) for clip in pictures]
        if videos := [clip for medium, clip in clips if medium == "video"]:
            given["videos"] = [torch.from_numpy(np.array(clip.frames)) for clip in videos]
            given["video_metadata"] = [[VideoMetadata(**clip.metadata)] for clip in videos]
            given["do_sample_frames"] = False
        # do_resize=False: a clip already has its final size, and the processor has limits of its
        # own that would silently change it.
        inputs = processor(text=[turns], do_resize=False, return_tensors="np", **given)
        return Read(
            token_ids=np.asarray(inputs["input_ids"][0], dtype=np.int64),
            **in_order(media, inputs),
        )

    def tokens_of(self, shown: Shown) -> int:
        return shown.patches // self._merge**2

    def places(self, shown: Shown) -> tuple[int, int, int]:
        times, height, width = shown.grid
        return times, height // self._merge, width // self._merge

    def covering(self, shown: Shown, hidden: np.ndarray) -> np.ndarray:
        # the patches that are merged stand beside each other
        return np.repeat(hidden.ravel(), self._merge**2)[:, None]

    def features(self, medium: Medium, parts: Sequence[tuple[Shown, np.ndarray]]) -> Features:
        import torch

        pixels, grid = NAMES[medium]
        rows, each = [one.patches for one, _ in parts], [values for _, values in parts]
        values = torch.from_numpy(each[0] if len(each) == 1 else np.concatenate(each))
        return {pixels: (values, rows), grid: (grid_of([one for one, _ in parts]), None)}

    def empty(self) -> tuple[np.ndarray, Shown]:
        vision = self.config.vision_config
        numbers = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        grid = (1, self._merge, self._merge)
        nothing = Shown(medium="picture", grid=grid, seconds_per_grid=0.0, digest="")
        return np.zeros((nothing.patches, numbers), np.float32), nothing

    def rewrite(self, model: Any) -> None:
        from videothinker.model.layers import multiply_patches, see_patches, sign_sines

        visual = model.model.visual
        multiply_patches(visual.patch_embed.proj)
        sign_sines(visual.rotary_pos_emb)
        for block in visual.blocks:
            see_patches(block.attn)
        rewrite_language(model)

    @property
    def _merge(self) -> int:
        return int(self.config.vision_config.spatial_merge_size)

    def _block(self, shown: Shown) -> np.ndarray:
        """Time, height and width [3, n] of its merged patches."""
        return np.indices(self.places(shown)).reshape(3, -1)


def in_order(media: Sequence[Medium], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Pixels and grids, which a processor has by medium, in the order in which they are shown."""
    rows: dict[Medium, Any] = {}
    for medium, (pixels, grid) in NAMES.items():
        if medium in media:
            grids = np.asarray(inputs[grid])
            ends = np.cumsum(grids.prod(axis=1))[:-1]
            each = np.split(np.asarray(inputs[pixels]), ends)
            rows[medium] = zip(each, map(tuple, grids.tolist()), strict=True)
    taken = [next(rows[medium]) for medium in media]
    return {
        "pixel_values": np.concatenate([pixels for pixels, _ in taken]),
        "grids": tuple(grid for _, grid in taken),
    }


def rewrite_language(model: Any) -> None:
    """Let a language model of Qwen's take `Sequences`, and a model's norms be one operation."""
    from videothinker.model.layers import (
        normalize_at_once,
        read_groups,
        score_in_full,
        sign_sines,
    )

    language = model.model.language_model
    sign_sines(language.rotary_emb)
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            normalize_at_once(module)
    for layer in language.layers:
        read_groups(layer.self_attn)
    score_in_full(model.lm_head)


def grid_of(shown: Sequence[Shown]) -> Tensor:
    """[shown, 3], on the CPU."""
    import torch

    return torch.tensor([one.grid for one in shown])


def part_of(parameter: str, mergers: Sequence[str]) -> Part:
    """The part that a parameter belongs to, a head sharing that of the embeddings."""
    if parameter.startswith("model.visual."):
        name = parameter.removeprefix("model.visual.")
        return "merger" if name.startswith(tuple(mergers)) else "vision"
    return "embeddings" if parameter.split(".")[-2] in ("embed_tokens", "lm_head") else "layers"


def biased_layer(shape: ModelShape) -> int:
    """Parameters of a layer of Qwen2: attention with biases at q, k and v, and a gated MLP."""
    asking, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = 2 * shape.hidden * (asking + keys) + asking + 2 * keys
    return attention + 3 * shape.hidden * shape.intermediate + 2 * shape.hidden


def text_sizes(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of the language model, which has a section of its own since transformers 4.52."""
    text = document.get("text_config") or document
    heads, hidden = int(text["num_attention_heads"]), int(text["hidden_size"])
    return {
        "hidden": hidden,
        "layers": int(text["num_hidden_layers"]),
        "heads": heads,
        "kv_heads": int(text["num_key_value_heads"]),
        "head_dim": int(text.get("head_dim") or hidden // heads),
        "intermediate": int(text["intermediate_size"]),
        "vocabulary": int(text["vocab_size"]),
        "tied": bool(document.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
    }


def vision_sizes(vision: Mapping[str, Any], patch: int) -> dict[str, Any]:
    """Of the vision tower."""
    return {
        "vision_hidden": int(vision["hidden_size"]),
        "vision_layers": int(vision["depth"]),
        "vision_intermediate": int(vision["intermediate_size"]),
        "vision_heads": int(vision.get("num_heads", 16)),
        "patch": int(vision.get("patch_size", patch)),
        "temporal_patch": int(vision.get("temporal_patch_size", 2)),
        "merge": int(vision.get("spatial_merge_size", 2)),
    }
