"""Runs of two stages that do not depend on who samples, which differ in how weights go or wait."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from same_training import untimed

from cluster.train import run
from videothinker.config.kl import KLConfig
from videothinker.config.settings import RunConfig
from videothinker.run.directory import RunDirectory


def two_engines(base: RunConfig, out: Path, **rollout: Any) -> RunConfig:
    """Two engines, units of one prompt: what is trained does not depend on who samples."""
    # an untrained model earns nothing; this moves it all the same
    push = KLConfig(direction="repel", anchor="base", coefficient=0.1, estimator="k1")
    stages = [stage.model_copy(update={"steps": 2, "kl": push}) for stage in base.stages]
    more = {"workers": 2, "prompts_together": 1} | rollout
    return base.model_copy(
        update={
            "out": out,
            "rollout": base.rollout.model_copy(update=more),
            "stages": tuple(stages),
        }
    )


def trained(config: RunConfig, directory: RunDirectory) -> dict[str, Any]:
    """Digests of all models, and each step's figures but the seconds."""
    summary = run(config, directory)
    return {
        "digests": [model["digest"] for model in summary["models"]],
        "results": [model["evaluation"] for model in summary["models"]],
        "figures": untimed(config.out),
    }
