"""An engine whose cache is too small for all that it samples puts completions off and begins them
again, and takes new weights in their middle: every token still has the log-prob of the weights that
sampled it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from mini_worlds import prepared_world

from gpu_check.agreement import ALLOWED, apart, prompts
from gpu_check.bias_run import SIZES, write_model
from gpu_check.part import Finding, answer
from videothinker.config.settings import Device, DType, RolloutConfig
from videothinker.types import Completion, Prompt

TYPE: dict[str, DType] = {"cuda": "bfloat16", "cpu": "float32"}
QUESTIONS, SAMPLES, TOKENS, LONGEST = 4, 8, 96, 256
ROOM = 512
"""Tokens in the cache: those of a single group, once they are sampled, do not fit."""
MIDWAY = 10
"""Steps of the engine before new weights come."""
NOISE = 0.05
"""On each parameter, for log-probs that tell the versions apart."""
TIMES = 10
"""By how much the other version's log-probs have to be further off."""
PATIENCE = 300.0

Groups = dict[int, tuple[Completion, ...]]


class Watch:
    """In the place of a scheduler's own `schedule`: counts its steps and what it puts off."""

    def __init__(self, scheduler: Any) -> None:
        self._schedule: Callable[..., Any] = scheduler.schedule
        self._steps = 0
        self.put_off = 0
        self.midway = Event()
        scheduler.schedule = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        planned = self._schedule(*arguments, **options)
        self._steps += 1
        self.put_off += len(planned.preempted_req_ids or ())
        if self._steps == MIDWAY:
            self.midway.set()
        return planned


def sample(engine: Any, asked: Sequence[Prompt]) -> Groups:
    return dict(
        engine.sample(
            asked, samples=SAMPLES, temperature=1.0, max_tokens=TOKENS, seeds=range(len(asked))
        )
    )


def watched(engine: Any) -> Watch:
    return Watch(engine._engine.engine_core.engine_core.scheduler)


def renewed(engine: Any, asked: Sequence[Prompt], parts: Sequence[Any]) -> Groups:
    """Sampled while version 1 takes the place of version 0."""
    watch = watched(engine)
    with ThreadPoolExecutor(1) as caller:
        sampling = caller.submit(sample, engine, asked)
        watch.midway.wait(PATIENCE)
        engine.load(1, parts)
        return sampling.result()


def own_and_other(
    policies: Sequence[torch.nn.Module], asked: Sequence[Prompt], groups: Groups
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every token: its version, and how far the log-probs of that and of the other version are
    from the sampler's."""
    versions, gaps = [], []
    for number, group in groups.items():
        found = [apart(policy, asked[number], group) for policy in policies]
        gaps += [np.stack(pair) for pair in zip(*found, strict=True)]
        versions += [one.weights_versions for one in group]
    version, gap = np.concatenate(versions), np.concatenate(gaps, axis=1)
    token = np.arange(len(version))
    return version, gap[version, token], gap[1 - version, token]


def in_flight(device: torch.device, folder: Path) -> Finding:
    from actors.vllm_engine import VllmEngine
    from videothinker.model.parts import as_part
    from videothinker.model.policy import Policy, load_model

    kind: Device = "cuda" if device.type == "cuda" else "cpu"
    dtype = TYPE[kind]
    asked = prompts(prepared_world(folder / "in_flight", videos=4), QUESTIONS)
    shape, checkpoint = SIZES["cpu"].shape, folder / "in_flight" / "model"
    write_model(checkpoint, shape)  # a random one, whose completions hardly ever end early
    cache = ROOM * shape.cache_bytes(dtype) / 2**30
    rollout = RolloutConfig(max_model_len=LONGEST, cache_gb=cache)
    engine = VllmEngine(checkpoint, dtype, rollout, kind, 0.3)
    before, after = (load_model(checkpoint, dtype) for _ in range(2))
    with torch.no_grad():
        for parameter in after.parameters():
            parameter += NOISE * torch.randn_like(parameter)
    parts = [as_part(1, after.named_parameters())]
    policies = [Policy(model.to(device)) for model in (before, after)]

    watch = watched(engine)
    _, crowded, _ = own_and_other(policies, asked, sample(engine, asked))
    put_off = watch.put_off
    version, own, other = own_and_other(policies, asked, renewed(engine, asked, parts))
    allowed = ALLOWED[dtype]
    fits = max(crowded.mean(), own.mean()) < allowed and other.mean() > TIMES * own.mean()
    return Finding(
        passed=bool(put_off and {*version} == {0, 1} and fits),
        said=f"{put_off} completions put off, largest gap {crowded.max():.2g} nats; with new"
        f" weights in the middle {own.max():.2g}",
        goal=f"some put off; mean gap below {allowed:g}, the other version's {TIMES} times that",
        figures={
            "put off": put_off,
            "after it": {"mean": float(crowded.mean()), "largest": float(crowded.max())},
            "in flight": {"mean": float(own.mean()), "largest": float(own.max())},
            "the other version's mean": float(other.mean()),
            "tokens of the old and the new weights": np.bincount(version, minlength=2).tolist(),
        },
    )


if __name__ == "__main__":
    answer(in_flight)
