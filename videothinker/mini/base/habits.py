"""Measures what a mini base model does: free, and when made to answer in one style.

Videos go the way of the published code: mp4, decord, the checkpoint's own processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
from transformers import (
    PreTrainedTokenizerBase,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)

from videothinker.method.prompts import messages, training_text
from videothinker.method.rewards import format_reward, soft_accuracy
from videothinker.mini.base.lessons import SECONDS_PER_GRID
from videothinker.mini.base.warmstart import WarmStart
from videothinker.mini.render import GRID, MERGE, draw, encode
from videothinker.mini.texts import OPENINGS, STYLES, overlooks, style_of
from videothinker.mini.world import FPS, Scene, make_scene
from videothinker.model.checkpoint import SAFE
from videothinker.model.families.known import family_in
from videothinker.types import Shown

_LONGEST = 40
_BATCH = 64


def measure(base: Path, *, scenes: int = 192, seed: int = 987_654_321) -> dict[str, float]:
    """Sampled at temperature 1: format, share of styles, accuracy by style and kind of question,
    and by whether what is truly hit is of a colour that a base of the defaults overlooks."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(base, **SAFE).eval()
    processor = Qwen2_5_VLProcessor.from_pretrained(base, **SAFE)
    drawn = [make_scene(seed, index) for index in range(scenes)]
    pixels = read_back(drawn, seed, processor)
    generator = torch.Generator().manual_seed(seed)
    figures: dict[str, float] = {}
    openings = {"free": "", **{str(style): OPENINGS[style] for style in STYLES}}
    for style, opening in openings.items():
        texts = sample(model, processor.tokenizer, drawn, pixels, opening, generator)
        figures |= {f"{style}_{name}": value for name, value in _score(drawn, texts).items()}
    return figures


def _score(scenes: Sequence[Scene], texts: Sequence[str]) -> dict[str, float]:
    """Rates over completions."""
    pairs = zip(scenes, texts, strict=True)
    right = np.array([soft_accuracy(text, scene.question().answer) for scene, text in pairs])
    observational = np.array([scene.observational for scene in scenes])
    overlooked = np.array([overlooks(scene, WarmStart().overlooked) for scene in scenes])
    counted = {
        "format": [format_reward(text) for text in texts],
        "reasoning": [style_of(text) == "reasoning" for text in texts],
        "observational": right[observational],
        "inferential": right[~observational],
        "overlooked": right[overlooked],
        "noticed": right[~overlooked],
    }
    return {name: float(np.mean(values)) for name, values in counted.items()}


def read_back(
    scenes: Sequence[Scene], seed: int, processor: Qwen2_5_VLProcessor
) -> list[torch.Tensor]:
    """[patches, 1176] of every scene after a trip through an mp4 file."""
    read = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        for scene in scenes:
            encode(draw(scene, seed), path)
            frames = decord.VideoReader(str(path)).get_batch(range(GRID[0] * FPS)).asnumpy()
            video = torch.from_numpy(frames).permute(0, 3, 1, 2)
            batch: Any = processor.video_processor([video], return_tensors="pt")
            read.append(batch["pixel_values_videos"])
    return read


@torch.no_grad()
def sample(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    scenes: Sequence[Scene],
    pixels: Sequence[torch.Tensor],
    opening: str,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> list[str]:
    """One completion for every scene, opening included; temperature 0 takes the likeliest."""
    texts: list[str] = []
    for first in range(0, len(scenes), _BATCH):
        some = slice(first, first + _BATCH)
        ids, mask, positions, following = _prompts(model, tokenizer, scenes[some], opening)
        grids = torch.tensor([GRID] * len(ids))
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "position_ids": positions,
            "pixel_values_videos": torch.cat(list(pixels[some])),
            "video_grid_thw": grids,
        }
        cache, written = None, []
        for step in range(_LONGEST):
            cached = {"past_key_values": cache, "use_cache": True}
            out = model(**inputs, **cached, attention_mask=mask, logits_to_keep=1)
            cache = out.past_key_values
            token = _pick(out.logits[:, -1], temperature, generator)
            written.append(token)
            mask = torch.cat([mask, torch.ones_like(token)], dim=1)
            inputs = {"input_ids": token, "position_ids": (following + step)[None].expand(3, -1, 1)}
        texts += [
            opening + _until_end(tokenizer, row) for row in torch.cat(written, dim=1).tolist()
        ]
    return texts


def _pick(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    """[B, 1]: the next tokens."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)


def _until_end(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """The text before the end token."""
    end = tokenizer.eos_token_id
    return str(tokenizer.decode(ids[: ids.index(end)] if end in ids else ids))


def _prompts(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerBase,
    scenes: Sequence[Scene],
    opening: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Left-padded prompts: ids [B, L], mask [B, L], positions [3, B, L], next position [B, 1]."""
    family = family_in(model.config)
    shown = Shown(medium="video", grid=GRID, seconds_per_grid=SECONDS_PER_GRID, digest="")
    pad = "<|video_pad|>"
    rows = []
    for scene in scenes:
        text = tokenizer.apply_chat_template(
            messages(training_text(scene.question())), tokenize=False, add_generation_prompt=True
        )
        tokens = pad * (GRID[0] * GRID[1] * GRID[2] // MERGE**2)
        ids = np.array(tokenizer(str(text).replace(pad, tokens) + opening).input_ids)
        rows.append((ids, family.positions(ids, [shown])))
    length = max(len(ids) for ids, _ in rows)
    shape = (len(rows), length)
    ids_BL, mask_BL = np.full(shape, tokenizer.pad_token_id), np.zeros(shape, np.int64)
    positions_3BL = np.zeros((3, *shape), np.int64)
    for b, (ids, positions) in enumerate(rows):
        ids_BL[b, -len(ids) :], mask_BL[b, -len(ids) :] = ids, 1
        positions_3BL[:, b, -len(ids) :] = positions
    following = torch.tensor([[positions.max() + 1] for _, positions in rows])
    return (
        torch.from_numpy(ids_BL),
        torch.from_numpy(mask_BL),
        torch.from_numpy(positions_3BL),
        following,
    )
