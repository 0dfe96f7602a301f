"""Families beside those of `test_families.py`: vLLM and the learner are one model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import write_llava_onevision, write_qwen2_vl

from actors.vllm_engine import VllmEngine
from videothinker.config.settings import RolloutConfig
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.types import Prompt, Question
from videothinker.video.frames import Clip, FrameBudget, read_clip

BUDGET = FrameBudget(
    fps=2,
    min_frames=4,
    max_frames=6,
    min_pixels=64 * 64,
    max_pixels=128 * 128,
    total_pixels=6 * 128 * 128,
    picture_min_pixels=64 * 64,
    picture_max_pixels=128 * 128,
)
SAMPLES, TOLERANCE = 16, 1e-4


class Clips:
    """Decoded in this process."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, BUDGET, start, end)


def asked(folder: Path, videos: Path, model: Path) -> list[Prompt]:
    """About a video, two, words alone, two pictures, and a picture before a video."""
    for number, video in enumerate(sorted(videos.glob("*.mp4"))[:2]):
        (folder / f"{number}.mp4").symlink_to(video)
    random = np.random.default_rng(0)
    for number, size in enumerate(((64, 96), (120, 70))):
        pixels = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    builder = PromptBuilder(model, folder, Clips())
    shown = [["0.mp4"], ["0.mp4", "1.mp4"], [""], ["1.png", "0.png"], ["0.png", "1.mp4"]]
    return [
        builder.build(
            Question(id="q", video=one, also=tuple(also), text="", options=(), answer="A"),
            "What happens?",
        )
        for one, *also in shown
    ]


def largest_gap(engine: VllmEngine, policy: Policy, prompts: list[Prompt]) -> float:
    """Between the sampler's log-probs and those of a row that holds all groups."""
    sampled = dict(
        engine.sample(
            prompts, samples=SAMPLES, temperature=1.0, max_tokens=24, seeds=range(len(prompts))
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


@pytest.mark.parametrize(
    "write",
    [partial(write_llava_onevision, tied=False), write_llava_onevision, write_qwen2_vl],
    ids=["llava_onevision", "llava_onevision, tied", "qwen2_vl"],
)
def test_sampler_and_learner_are_one_model_before_and_after_new_weights(
    write: Callable[[Path], Path], mini_world: Path, tmp_path: Path
) -> None:
    model = write(tmp_path / "model")
    prompts = asked(tmp_path, mini_world / "raw" / "videos", model)
    policy = Policy(load_model(model, "float32"))
    engine = VllmEngine(
        model, "float32", RolloutConfig(max_model_len=1024, cache_gb=0.25), device="cpu"
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
