"""Genuine checkpoints small enough to train on a laptop: same classes, same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from videothinker.config.settings import VideoConfig
from videothinker.files import require_new, whole_folder
from videothinker.mini.base.habits import measure
from videothinker.mini.base.tiny import Tiny
from videothinker.mini.base.tiny_qwen2_5_vl import TinyQwen25VL
from videothinker.mini.base.tiny_qwen3_vl import TinyQwen3VL
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.base.warmstart import WarmStart, warm_start
from videothinker.mini.render import HEIGHT, WIDTH
from videothinker.mini.settings import FAMILIES
from videothinker.mini.world import FPS, FRAMES
from videothinker.mini.write import Progress
from videothinker.model.checkpoint import Budget, write_budget, write_weights

TINY: dict[str, type[Tiny]] = {tiny.family.model_type: tiny for tiny in (TinyQwen25VL, TinyQwen3VL)}
SHIPPED = FAMILIES[0]

BUDGET = Budget(
    dtype="float32",
    video=VideoConfig(
        fps=FPS,
        min_frames=FRAMES,
        max_frames=FRAMES,
        min_pixels=HEIGHT * WIDTH,
        max_pixels=HEIGHT * WIDTH,
        total_pixels=FRAMES * HEIGHT * WIDTH,
    ),
    max_tokens=48,
    max_model_len=512,
)
"""What a base is warm-started on: whole videos of the default world, answers of about 20 tokens."""


def make_config(tokenizer: PreTrainedTokenizerBase, family: str = SHIPPED) -> Any:
    """The architecture; only sizes differ from the real model's."""
    return TINY[family].config(tokenizer)


def make_model(tokenizer: PreTrainedTokenizerBase, seed: int, family: str = SHIPPED) -> Any:
    """Random weights at the scale 1 / sqrt(fan in), at which so small a model learns fastest."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TINY[family].family.model_class()(make_config(tokenizer, family))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    fan_in = parameter[0].numel()
                    parameter.normal_(0.0, fan_in**-0.5, generator=generator)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
    )
    return model


def make_processor(tokenizer: PreTrainedTokenizerBase, family: str = SHIPPED) -> Any:
    """What makes numbers of words and frames."""
    return TINY[family].processor(tokenizer)


def save_base(model: Any, out: Path, budget: Budget | None = None) -> None:
    """Write everything that transformers and vLLM need to load the model; all of it or nothing."""
    with whole_folder(out) as partial:
        write_weights(model, partial)
        make_processor(make_tokenizer(), model.config.model_type).save_pretrained(partial)
        if budget is not None:
            write_budget(partial, budget)


def random_base(out: Path, seed: int, family: str = SHIPPED) -> None:
    """An untrained checkpoint: what tests of everything but learning need."""
    save_base(make_model(make_tokenizer(), seed, family), out)


def build_base(
    out: Path,
    *,
    seed: int,
    family: str = SHIPPED,
    settings: WarmStart | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Write a warm-started checkpoint; returns the last losses and what the model then does.

    The same seed and settings give the same weights on the same kind of processor; on one thread,
    because sums over several differ with their number.
    """
    require_new(out)
    tokenizer = make_tokenizer()
    model, processor = make_model(tokenizer, seed, family), make_processor(tokenizer, family)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        final = warm_start(model, processor, seed, settings or WarmStart(), progress)
    finally:
        torch.set_num_threads(threads)
    save_base(model, out, BUDGET)
    return {f"loss_{name}": value for name, value in final.items()} | measure(out, BUDGET.video)
