"""LLaVA-OneVision: whole frames of one fixed size, Qwen2 with positions on one axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from videothinker.config.learner import Part
from videothinker.config.settings import VideoConfig
from videothinker.model.families.family import Family, Features, PackedTokens, Read, laid_out
from videothinker.model.families.pixels import RAW
from videothinker.model.families.qwen import NAMES, biased_layer, rewrite_language, text_sizes
from videothinker.model.shape import ModelShape
from videothinker.types import Medium, Shown
from videothinker.video.frames import Clip

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PARTS: dict[str, Part] = {
    "model.vision_tower.": "vision",
    "model.multi_modal_projector.": "merger",
    "model.image_newline": "merger",
    "model.language_model.embed_tokens.": "embeddings",
    "lm_head.": "embeddings",
    "model.language_model.": "layers",
}
"""Of a parameter, by how its name begins; the first that fits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnevisionShape(ModelShape):
    """Qwen2, a tower with a table of places, and a projector of two layers.

    The tower counts with its last norm, which nothing comes through, and without a head; the merger
    with the number that ends what is shown (`image_newline`).
    """

    patch: int = 14
    temporal_patch: int = 1
    merge: int = 2
    vision_heads: int = 16
    frame: int = 384
    """Pixels along each side of all that is shown."""

    @property
    def layer(self) -> int:
        return biased_layer(self)

    @property
    def vision(self) -> int:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = 4 * width**2 + 4 * width + 2 * width * inner + inner + width + 4 * width
        patches = self.pixels_per_patch * width + width + (self.frame // self.patch) ** 2 * width
        return self.vision_layers * block + patches + 2 * width

    @property
    def merger(self) -> int:
        return (self.vision_hidden + self.hidden + 3) * self.hidden

    @property
    def seeing(self) -> list[tuple[int, int]]:
        width, inner = self.vision_hidden, self.vision_intermediate
        block = [*[(width, width)] * 4, (width, inner), (inner, width)]
        return self.vision_layers * block + [(width, self.hidden), (self.hidden, self.hidden)]

    @property
    def projected(self) -> int:
        return 1  # tokens are merged behind it

    def tokens(self, video: VideoConfig) -> int:
        return video.max_frames * pooled(self.frame // self.patch) + 1

    def patches(self, tokens: int) -> int:
        side = self.frame // self.patch
        return tokens * side**2 // pooled(side)


def pooled(side: int) -> int:
    """Tokens of a frame of a video, by its patches along each side."""
    return ((side + 1) // 2) ** 2


def released(hidden: int, layers: int, heads: int, kv_heads: int, **sizes: Any) -> OnevisionShape:
    """A model with the common tower, SigLIP's without its last layer."""
    tower = {"vision_hidden": 1152, "vision_layers": 26, "vision_intermediate": 4304}
    sizes |= tower | {"head_dim": hidden // heads}
    return OnevisionShape(hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads, **sizes)


class LlavaOnevision(Family):
    """A video is its frames, pooled, and a last token; a picture is itself alone, padded to a
    square and not pooled, as the processor shows each of several: it shows one alone in crops.
    """

    title = "LLaVA-OneVision"
    model_type = "llava_onevision"
    owner = "llava-hf"
    released: ClassVar[Mapping[str, ModelShape]] = {
        "llava-onevision-qwen2-0.5b-ov-hf": released(
            896, 24, 14, 2, intermediate=4864, vocabulary=152_000, tied=True
        ),
        "llava-onevision-qwen2-7b-ov-hf": released(
            3584, 28, 28, 4, intermediate=18_944, vocabulary=152_128, tied=False
        ),
    }

    @staticmethod
    def model_class() -> Any:
        from transformers import LlavaOnevisionForConditionalGeneration

        return LlavaOnevisionForConditionalGeneration

    @staticmethod
    def processor_class() -> Any:
        from transformers import LlavaOnevisionProcessor

        return LlavaOnevisionProcessor

    @staticmethod
    def shape(document: Mapping[str, Any]) -> ModelShape:
        vision, text = document["vision_config"], document["text_config"]
        kinds = text.get("model_type", "qwen2"), vision.get("model_type", "siglip_vision_model")
        seen = vision.get("vision_use_head", True), document.get("vision_feature_layer", -1)
        if kinds + seen != ("qwen2", "siglip_vision_model", False, -1):
            raise ValueError("only Qwen2 on all of SigLIP's layers, without a head, is covered")
        tied = any(part.get("tie_word_embeddings") for part in (document, text))
        return OnevisionShape(
            **text_sizes(document) | {"tied": tied},
            vision_hidden=int(vision["hidden_size"]),
            vision_layers=int(vision["num_hidden_layers"]),
            vision_intermediate=int(vision["intermediate_size"]),
            vision_heads=int(vision.get("num_attention_heads", 16)),
            patch=int(vision["patch_size"]),
            frame=int(vision["image_size"]),
        )

    @staticmethod
    def part_of(parameter: str) -> Part:
        return next(part for start, part in PARTS.items() if parameter.startswith(start))

    @staticmethod
    def released_name(parameter: str) -> str:
        tower = "model.vision_tower."
        return parameter.replace(tower, f"{tower}vision_model.", 1)

    @property
    def forbidden(self) -> list[int]:
        return sorted(self.marks.values())

    @property
    def marks(self) -> dict[Medium, int]:
        return {"picture": self.config.image_token_index, "video": self.config.video_token_index}

    @property
    def frames_together(self) -> int:
        return 1

    def read(
        self, processor: Any, turns: str, clips: Sequence[tuple[Medium, Clip]], *, raw: bool
    ) -> Read:
        token_ids = np.asarray(processor.tokenizer(turns)["input_ids"], dtype=np.int64)
        frames = [frames_of(processor, medium, clip, raw) for medium, clip in clips]
        counts = np.ones_like(token_ids)
        places = np.flatnonzero(np.isin(token_ids, self.forbidden))
        for place, (medium, _), some in zip(places, clips, frames, strict=False):  # `marked` counts
            counts[place] = self._tokens(medium, len(some))
        return Read(
            token_ids=np.repeat(token_ids, counts),
            pixel_values=np.concatenate(frames) if frames else np.empty((0, 0), np.uint8),
            grids=tuple((len(some), self._side, self._side) for some in frames),
        )

    def tokens_of(self, shown: Shown) -> int:
        return self._tokens(shown.medium, shown.grid[0])

    def rows_of(self, shown: Shown) -> int:
        return shown.grid[0]

    def places(self, shown: Shown) -> tuple[int, int, int]:
        side = (self._side + 1) // 2
        return shown.grid[0], side, side

    def covering(self, shown: Shown, hidden: np.ndarray) -> np.ndarray:
        vision = self.config.vision_config
        square, pixels = 2 * vision.patch_size, vision.image_size
        rows = hidden.repeat(square, axis=1).repeat(square, axis=2)
        return rows[:, None, :pixels, :pixels]

    def positions(self, token_ids: np.ndarray, shown: Sequence[Shown]) -> np.ndarray:
        list(self.marked(token_ids, shown))  # or they are not what is shown
        return np.tile(np.arange(len(token_ids)), (3, 1))

    def span(self, shown: Shown, first: int, last: int) -> tuple[int, int]:
        return first, last + 1

    def features(self, medium: Medium, parts: Sequence[tuple[Shown, np.ndarray]]) -> Features:
        import torch

        return {NAMES[medium][0]: [torch.from_numpy(frames) for _, frames in parts]}

    def empty(self) -> tuple[np.ndarray, Shown]:
        grid, pixels = (1, self._side, self._side), self.config.vision_config.image_size
        nothing = Shown(medium="picture", grid=grid, seconds_per_grid=0.0, digest="")
        return np.zeros((1, 3, pixels, pixels), np.float32), nothing

    def rewrite(self, model: Any) -> None:
        from videothinker.model.layers import see_frames

        tower = model.model.vision_tower
        tower.post_layernorm.requires_grad_(False)  # no feature comes through it
        for layer in tower.encoder.layers:
            see_frames(layer.self_attn)
        rewrite_language(model)

    def patches(self, model: Any, shown: Sequence[Shown], device: torch.device) -> dict[str, Any]:
        from videothinker.model.attention import alone

        frames = sum(map(self.rows_of, shown))
        return {"shown": shown, "frames": alone([self._side**2] * frames, device)}

    def states(self, model: Any, row: PackedTokens) -> Tensor:
        import torch

        inner, language = model.model, model.model.language_model
        seen = inner.vision_tower.embeddings(row.pixel_values)
        for layer in inner.vision_tower.encoder.layers:
            seen = layer(seen, row.patches["frames"])
        frames = inner.multi_modal_projector(seen)
        features, shown = [], row.patches["shown"]
        for one, some in zip(shown, frames.split([*map(self.rows_of, shown)]), strict=True):
            tokens = inner.apply_pooling(some) if one.medium == "video" else some
            features += [tokens.flatten(0, 1), inner.image_newline[None]]
        texts = inner.get_input_embeddings()(row.token_ids)
        hidden = laid_out(texts, torch.cat(features), row)[None]
        rotation = language.rotary_emb(hidden, row.positions[0])
        for layer in language.layers:
            hidden = layer(hidden, attention_mask=row.sequences, position_embeddings=rotation)
        final: Tensor = language.norm(hidden)[0]
        return final

    @property
    def _side(self) -> int:
        """Patches along each side of a frame; what is left over at the border is not seen."""
        vision = self.config.vision_config
        return int(vision.image_size // vision.patch_size)

    def _tokens(self, medium: Medium, frames: int) -> int:
        return (frames * pooled(self._side) if medium == "video" else self._side**2) + 1


def frames_of(processor: Any, medium: Medium, clip: Clip, raw: bool) -> np.ndarray:
    """[frames, 3, H, W], at the size that the processor has for all."""
    import torch

    frames = torch.from_numpy(np.array(clip.frames))
    how = (RAW if raw else {}) | {"return_tensors": "pt"}
    if medium == "video":
        read = processor.video_processor([frames], do_sample_frames=False, **how)
    else:  # one of two is not cut up
        read = processor.image_processor([[frames[0], frames[0]]], **how)
    seen: np.ndarray = read[NAMES[medium][0]][0].numpy()
    return seen
