"""Families beside those of `test_families.py`: vLLM and the learner are one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from qwen_words import tokenizer
from real_prompts import QUESTIONS, VIDEO, write_videos
from small_models import write_llava_onevision, write_qwen2_vl

from actors.vllm_engine import VllmEngine
from videothinker.config.settings import RolloutConfig, VideoConfig
from videothinker.method.prompts import training_text
from videothinker.model.families.known import frames_for
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import Prompt

SAMPLES, TOLERANCE = 8, 1e-4
ASKED = [
    replace(one, also=one.also[::-1]) if one.id == "pictures and a clip" else one
    for one in QUESTIONS
]
"""One of these families' templates puts pictures before clips."""
WORDS = "Qwen2.5-VL-3B-Instruct"
"""Whose words both families have."""


def largest_gap(engine: VllmEngine, policy: Policy, prompts: list[Prompt]) -> float:
    """Between the sampler's log-probs and those of a row that holds all groups."""
    sampled = dict(
        engine.sample(
            prompts, samples=SAMPLES, temperature=1.0, max_tokens=8, seeds=range(len(prompts))
        )
    )
    completions = [sampled[number] for number in range(len(prompts))]
    tokens = [[one.token_ids for one in group] for group in completions]
    with torch.no_grad():
        logprobs, _ = policy(list(zip(prompts, tokens, strict=True)), 1.0)
    everything = [one for group in completions for one in group]
    return max(
        float(np.abs(row[: len(one.token_ids)].numpy() - one.logprobs).max())
        for row, one in zip(logprobs, everything, strict=True)
    )


def llava_onevision(out: Path) -> Path:
    """Frames of the released models' size, and a head of its own."""
    return write_llava_onevision(out, tied=False, words=tokenizer(WORDS), frame=384)


def qwen2_vl(out: Path) -> Path:
    return write_qwen2_vl(out, words=tokenizer(WORDS))


@pytest.mark.parametrize("write", [llava_onevision, write_llava_onevision, qwen2_vl])
def test_sampler_and_learner_are_one_model_before_and_after_new_weights(
    write: Callable[[Path], Path],
    read_here: Callable[[VideoConfig], ClipSource],
    tmp_path: Path,
) -> None:
    """64 completions about three real clips of several lengths, pictures, both, and words alone."""
    model = write(tmp_path / "model")
    (tmp_path / "videos").mkdir()
    videos = write_videos(tmp_path / "videos")
    builder = PromptBuilder(model, videos, read_here(frames_for(model, VIDEO)))
    prompts = [builder.build(one, training_text(one)) for one in ASKED]
    policy = Policy(load_model(model, "float32"))
    engine = VllmEngine(
        model, "float32", RolloutConfig(max_model_len=4096, cache_gb=0.5), device="cpu"
    )
    assert largest_gap(engine, policy, prompts) < TOLERANCE

    torch.manual_seed(0)
    published = policy.family.released_name
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    assert largest_gap(engine, policy, prompts) > 100 * TOLERANCE
    named = policy.model.named_parameters()
    engine.load(1, [as_part(1, ((published(name), value) for name, value in named))])
    assert largest_gap(engine, policy, prompts) < TOLERANCE
