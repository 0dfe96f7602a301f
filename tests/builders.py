"""Questions, completions, groups and runs, for tests that care about a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videothinker.config.loading import load_config
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import RunConfig
from videothinker.method.paying import Rewards
from videothinker.types import Completion, Question, RolloutGroup, Usage

CONFIGS = Path(__file__).parents[1] / "configs"


def question(name: str = "q", **other: Any) -> Question:
    """A is right."""
    usual = {"video": "v.mp4", "text": "?", "options": (("A", "this"), ("B", "that"))}
    return Question(id=name, **usual | {"answer": "A"} | other)


def completion(
    text: str = "",
    tokens: int | Sequence[int] | np.ndarray = 3,
    *,
    logprobs: float | Sequence[float] | np.ndarray = 0.0,
    version: int | Sequence[int] = 0,
    **other: Any,
) -> Completion:
    """That stopped; so many tokens or these, and a figure for each token or one for all."""
    ids = np.arange(tokens) if isinstance(tokens, int) else np.asarray(tokens)
    return Completion(
        token_ids=ids,
        logprobs=np.full(len(ids), logprobs, np.float32),
        weights_versions=np.full(len(ids), version, np.int32),
        text=text,
        **{"finish_reason": "stop"} | other,
    )


def group(*completions: Completion, about: Question | None = None, **other: Any) -> RolloutGroup:
    """As old as its oldest token."""
    usual = {"worker": "rollout-0", "seconds": 0.0, "prompt_tokens": 40, "patches": 64}
    return RolloutGroup(
        question=about or question(),
        completions=completions,
        weights_version=min(int(one.weights_versions.min()) for one in completions),
        **usual | other,
    )


def earned(group: RolloutGroup, rewards: Sequence[str]) -> dict[str, np.ndarray]:
    """What a group's completions earn of rewards by name."""
    texts = [one.text for one in group.completions]
    return Rewards([RewardConfig(name=name) for name in rewards]).of(group.question, texts)


def usage(**other: Any) -> Usage:
    """Of a process on a CPU."""
    return Usage(**{"memory": 600_000_000, "peak": 700_000_000, "threads": 1} | other)


def run_config(folder: Path, *stages: Any, **sections: Any) -> RunConfig:
    """Of these stages, on a CPU; whatever it reads and writes lies in a folder."""
    places = {"out": folder / "run", "model": {"path": folder / "model"}}
    usual = {"name": "test", "data": {"videos": folder}, "cluster": {"device": "cpu"}}
    return RunConfig.model_validate({**places, **usual, **sections, "stages": stages})


def shipped_config(*overrides: str, name: str = "cdpo_2xa6000") -> RunConfig:
    """One of those that come with us."""
    return load_config(CONFIGS / f"{name}.yaml", overrides)
