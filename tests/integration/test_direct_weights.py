"""Weights straight from the learner into engines: whole runs, on a CPU by shared memory and gloo.

Each path makes the same run: figures and final weights are compared to the last bit.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cluster.train import run
from videothinker.config.loading import to_yaml
from videothinker.config.settings import KLConfig, RunConfig, WeightsConfig
from videothinker.files import read_json, read_lines
from videothinker.run.directory import RunDirectory

pytestmark = pytest.mark.timeout(900)


def config_of(base: RunConfig, out: Path, path: Any) -> RunConfig:
    """Two engines, units of one prompt: what is trained does not depend on who samples."""
    rollout = {"workers": 2, "prompts_together": 1}
    # an untrained model earns nothing; this moves it all the same
    push = KLConfig(direction="repel", anchor="base", coefficient=0.1, estimator="k1")
    stages = [stage.model_copy(update={"steps": 2, "kl": push}) for stage in base.stages]
    return base.model_copy(
        update={
            "out": out,
            "rollout": base.rollout.model_copy(update=rollout),
            "weights": WeightsConfig(path=path),
            "stages": tuple(stages),
        }
    )


def trained(config: RunConfig) -> dict[str, Any]:
    """Digests of all models, and each step's figures but the seconds."""
    summary = run(config, RunDirectory.create(config.out, to_yaml(config)))
    lines = read_lines(config.out / "metrics.jsonl")
    return {
        "digests": [model["digest"] for model in summary["models"]],
        "figures": [{k: v for k, v in one.items() if "seconds" not in k} for one in lines],
    }


@pytest.fixture(scope="module")
def by_host(run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trained(config_of(run_config, tmp_path_factory.mktemp("host") / "run", "host"))


@pytest.mark.parametrize("path", ["ipc", "nccl"])
def test_a_run_learns_the_same_whichever_way_its_weights_go(
    path: str, by_host: dict[str, Any], run_config: RunConfig, tmp_path: Path
) -> None:
    found = trained(config_of(run_config, tmp_path / "run", path))
    assert len(set(by_host["digests"])) == 3
    assert found == by_host
