"""How far the engine's log-probs are from the learner's, over the same tokens of a tiny model.

Sixteen bits go through other kernels than thirty-two on a GPU, so both are asked, each in a process
of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from mini_worlds import MINI_VIDEO, prepared_world

from gpu_check.part import Finding, answer
from videothinker.config.settings import Device, DType, RolloutConfig
from videothinker.mini import SHIPPED_BASE
from videothinker.types import Completion, Prompt
from videothinker.video.frames import Clip, FrameBudget, read_clip

ALLOWED: dict[DType, float] = {"float32": 1e-3, "bfloat16": 0.05}
"""Mean over the tokens, in nats."""
QUESTIONS, SAMPLES, TOKENS = 4, 8, 24


class Here:
    """Clips decoded in this process."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, FrameBudget(**MINI_VIDEO.model_dump()), start, end)


def prompts(world: Path, count: int) -> list[Prompt]:
    """The first questions of a prepared world."""
    from videothinker.data.questions import read_questions
    from videothinker.method.prompts import training_text
    from videothinker.model.processing import PromptBuilder

    builder = PromptBuilder(SHIPPED_BASE, world / "raw" / "videos", Here())
    questions = read_questions(world / "questions.parquet")[:count]
    return [builder.build(question, training_text(question)) for question in questions]


def apart(policy: torch.nn.Module, prompt: Prompt, group: Sequence[Completion]) -> list[np.ndarray]:
    """Of each completion's tokens [T], how far the policy's log-probs are from the sampler's."""
    with torch.no_grad():
        logp, _ = policy([(prompt, [one.token_ids for one in group])], 1.0)
    rows = zip(logp.cpu().numpy(), group, strict=True)
    return [np.abs(row[: len(one.logprobs)] - one.logprobs) for row, one in rows]


def gaps(world: Path, dtype: DType, device: Device) -> tuple[float, float]:
    """Mean and largest, over all tokens."""
    from actors.vllm_engine import VllmEngine
    from videothinker.model.policy import Policy, load_model

    asked = prompts(world, QUESTIONS)
    rollout = RolloutConfig(max_model_len=512, cache_gb=0.25)
    engine = VllmEngine(SHIPPED_BASE, dtype, rollout, device, 0.3)
    sampled = engine.sample(
        asked, samples=SAMPLES, temperature=1.0, max_tokens=TOKENS, seeds=range(len(asked))
    )
    policy = Policy(load_model(SHIPPED_BASE, dtype).to(device))
    every = np.concatenate(
        [gap for number, group in sampled for gap in apart(policy, asked[number], group)]
    )
    return float(every.mean()), float(every.max())


def agreement(device: torch.device, folder: Path) -> Finding:
    kind: Device = "cuda" if device.type == "cuda" else "cpu"
    found: dict[DType, tuple[float, float]] = {}
    world = prepared_world(folder / "agreement", videos=4)
    for dtype in ALLOWED:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            found[dtype] = alone.submit(gaps, world, dtype, kind).result()
    return Finding(
        passed=all(found[dtype][0] < allowed for dtype, allowed in ALLOWED.items()),
        said=", ".join(f"{mean:.2g} nats a token in {dtype}" for dtype, (mean, _) in found.items()),
        goal=", ".join(f"below {allowed:g} in {dtype}" for dtype, allowed in ALLOWED.items()),
        figures={dtype: {"mean": mean, "largest": most} for dtype, (mean, most) in found.items()},
    )


if __name__ == "__main__":
    answer(agreement)
