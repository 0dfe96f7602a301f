"""How far the engine's log-probs are from the learner's, over the same tokens of a tiny model.

Sixteen bits go through other kernels than thirty-two on a GPU, so both are asked, each in a process
of its own.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mini_worlds import MINI_VIDEO, prepared_world

from gpu_check.part import Finding, answer
from videothinker.config.settings import Device, DType, RolloutConfig
from videothinker.mini import SHIPPED_BASE
from videothinker.types import Prompt
from videothinker.video.frames import Clip, read_clip

ALLOWED: dict[DType, float] = {"float32": 1e-3, "bfloat16": 0.05}
"""Mean over the tokens, in nats."""
QUESTIONS, SAMPLES, TOKENS = 4, 8, 24


class Here:
    """Clips decoded in this process."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, MINI_VIDEO, start, end)


def prompts(world: Path) -> list[Prompt]:
    from videothinker.data.questions import read_questions
    from videothinker.method.prompts import training_text
    from videothinker.model.processing import PromptBuilder

    builder = PromptBuilder(SHIPPED_BASE, world / "raw" / "videos", Here())
    questions = read_questions(world / "questions.parquet")[:QUESTIONS]
    return [builder.build(question, training_text(question)) for question in questions]


def gaps(world: Path, dtype: DType, device: Device) -> tuple[float, float]:
    """Mean and largest, over all tokens."""
    from actors.vllm_engine import VllmEngine
    from videothinker.model.policy import Policy, load_model

    asked = prompts(world)
    rollout = RolloutConfig(max_model_len=512, cache_gb=0.25)
    engine = VllmEngine(SHIPPED_BASE, dtype, rollout, device, 0.3)
    sampled = dict(
        engine.sample(
            asked, samples=SAMPLES, temperature=1.0, max_tokens=TOKENS, seeds=range(len(asked))
        )
    )
    policy = Policy(load_model(SHIPPED_BASE, dtype).to(device))
    found = []
    for number, completions in sampled.items():
        with torch.no_grad():
            logp, _ = policy([(asked[number], [one.token_ids for one in completions])], 1.0)
        for row, one in zip(logp.cpu().numpy(), completions, strict=True):
            found.append(np.abs(row[: len(one.logprobs)] - one.logprobs))
    every = np.concatenate(found)
    return float(every.mean()), float(every.max())


def agreement(device: torch.device) -> Finding:
    kind: Device = "cuda" if device.type == "cuda" else "cpu"
    figures: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        world = prepared_world(Path(folder), videos=4)
        for dtype in ALLOWED:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                mean, most = alone.submit(gaps, world, dtype, kind).result()
            figures |= {dtype: mean, f"{dtype}, most": most}
    return Finding(
        passed=all(figures[dtype] < allowed for dtype, allowed in ALLOWED.items()),
        said="mean gap of a token, nats",
        figures=figures,
    )


if __name__ == "__main__":
    answer(agreement)
