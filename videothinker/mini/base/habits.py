"""Measures what a mini base model does: free, and when made to answer in one style.

Questions are asked as a run asks them: of an mp4 file, by the checkpoint's own processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from videothinker.config.settings import VideoConfig
from videothinker.method.prompts import training_text
from videothinker.method.rewards import format_reward, soft_accuracy
from videothinker.mini.base.warmstart import WarmStart
from videothinker.mini.render import draw, encode
from videothinker.mini.texts import OPENINGS, STYLES, overlooks, style_of
from videothinker.mini.world import Scene, make_scene
from videothinker.model.checkpoint import SAFE
from videothinker.model.families.family import Family
from videothinker.model.families.known import family_in, family_of, frames_for
from videothinker.model.processing import PromptBuilder
from videothinker.types import Prompt
from videothinker.video.frames import Clip, FrameBudget, read_clip

_LONGEST = 40
_BATCH = 64


def measure(
    base: Path, video: VideoConfig, *, scenes: int = 192, seed: int = 987_654_321
) -> dict[str, float]:
    """Sampled at temperature 1: format, share of styles, accuracy by style and kind of question,
    and by whether what is truly hit is of a colour that a base of the defaults overlooks."""
    family = family_of(base)
    model = family.model_class().from_pretrained(base, **SAFE).eval()
    tokenizer = family.processor_class().from_pretrained(base, **SAFE).tokenizer
    drawn = [make_scene(seed, index) for index in range(scenes)]
    prompts = asked_about(drawn, seed, base, frames_for(base, video))
    generator = torch.Generator().manual_seed(seed)
    figures: dict[str, float] = {}
    openings = {"free": "", **{str(style): OPENINGS[style] for style in STYLES}}
    for style, opening in openings.items():
        texts = sample(model, tokenizer, prompts, opening, generator)
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


class FreshClips:
    """A source of clips that decodes each when it is asked for, and keeps none."""

    def __init__(self, video: FrameBudget) -> None:
        self._video = video

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, self._video, start, end)


def asked_about(scenes: Sequence[Scene], seed: int, base: Path, video: FrameBudget) -> list[Prompt]:
    """Of every scene, as a run makes it."""
    prompts = []
    with tempfile.TemporaryDirectory() as folder:
        builder = PromptBuilder(base, Path(folder), FreshClips(video))
        for scene in scenes:
            question = scene.question()
            path = Path(folder) / question.video
            encode(draw(scene, seed), path)
            prompts.append(builder.build(question, training_text(question)))
            path.unlink()
    return prompts


@torch.no_grad()
def sample(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    opening: str,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> list[str]:
    """One completion for every prompt, opening included; temperature 0 takes the likeliest."""
    texts: list[str] = []
    begun, family = tokenizer(opening).input_ids, family_in(model.config)
    for first in range(0, len(prompts), _BATCH):
        some = prompts[first : first + _BATCH]
        ids, mask, positions, following = _padded(some, family, begun, tokenizer.pad_token_id)
        pixels, shown = family.pixels(some, "cpu")
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "position_ids": positions,
            "pixel_values_videos": pixels,
            "video_grid_thw": torch.tensor([one.grid for one in shown]),
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


def _padded(
    prompts: Sequence[Prompt], family: Family, begun: Sequence[int], pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts and what their answers begin with, padded on the left: ids [B, L], mask [B, L],
    positions [3, B, L], next position [B, 1]."""
    length = max(len(prompt.token_ids) for prompt in prompts) + len(begun)
    shape = (len(prompts), length)
    ids_BL, mask_BL = np.full(shape, pad), np.zeros(shape, np.int64)
    positions_3BL = np.zeros((3, *shape), np.int64)
    for b, prompt in enumerate(prompts):
        ids = [*prompt.token_ids, *begun]
        further = np.arange(len(begun)) + prompt.next_position
        ids_BL[b, -len(ids) :], mask_BL[b, -len(ids) :] = ids, 1
        places = family.positions(prompt.token_ids, prompt.shown)
        positions_3BL[:, b, -len(ids) :] = np.hstack([places, np.tile(further, (3, 1))])
    following = torch.tensor([[prompt.next_position + len(begun)] for prompt in prompts])
    return (
        torch.from_numpy(ids_BL),
        torch.from_numpy(mask_BL),
        torch.from_numpy(positions_3BL),
        following,
    )
