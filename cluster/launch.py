"""Configuration -> running actors; and everything stopped again afterwards."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from actors.anchor import AnchorScorer
from actors.loader import PromptLoader
from actors.rollout import RolloutWorker
from cluster.fleet import Anchor, Fleet, Learner, Loader, Rollouts, fetch
from learner.actor import LearnerRank
from videothinker import cpu_torch, metrics
from videothinker.budget import Budget, budget_of
from videothinker.config import ClusterConfig, DataConfig, Device, RunConfig
from videothinker.errors import PlacementError
from videothinker.run import RunDirectory, atomic_write

ROOT = Path(__file__).parents[1]
GPU_SHARE = {"learner": 0.5, "rollout": 0.4, "anchor": 0.1}
"""How roles share a device; untried on a GPU so far."""


@contextmanager
def launch(config: RunConfig, run: RunDirectory) -> Iterator[Fleet]:
    """Start Ray if no cluster is named, then every actor; stop what was started at the end."""
    with ray_running(config.cluster):
        require_gpus(config)
        yield start_fleet(config, run)


@contextmanager
def ray_running(cluster: ClusterConfig) -> Iterator[None]:
    """Connected to the named cluster, or to a private one on the loopback that ends with us."""
    try:
        start_ray(cluster)
        yield
    finally:
        ray.shutdown()


def start_ray(cluster: ClusterConfig) -> None:
    """Connect, or start what can be connected to."""
    options: dict[str, Any] = {
        "runtime_env": {"env_vars": worker_environment(cluster.device)},
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    address = cluster.address or os.environ.get("RAY_ADDRESS")  # set inside a Ray job
    if address:
        ray.init(address=address, **options)
        return
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init(
        address="local",
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        **options,
    )


def worker_environment(device: Device) -> dict[str, str]:
    """What every actor's process finds in its environment."""
    places = [cpu_torch.FOLDER, str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(dict.fromkeys(place for place in places if place))
    if device == "cuda":
        return {"PYTHONPATH": path}
    return {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",  # two unpinned torch processes lose most of their speed
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }


def require_gpus(config: RunConfig) -> None:
    """Refuse before anything is loaded what could only hang."""
    if config.cluster.device == "cpu":
        return
    needed = config.learner.ranks * GPU_SHARE["learner"]
    needed += config.rollout.workers * GPU_SHARE["rollout"] + GPU_SHARE["anchor"]
    found = ray.cluster_resources().get("GPU", 0)
    if found < needed:
        raise PlacementError(
            f"this run needs {needed:.1f} GPUs ({config.learner.ranks} learner ranks, "
            f"{config.rollout.workers} rollout workers, one anchor scorer) and the cluster has "
            f"{found:g}. Lower learner.ranks or rollout.workers, or set cluster.device=cpu"
        )


def start_fleet(config: RunConfig, run: RunDirectory) -> Fleet:
    """All actors at once, since each takes seconds to start."""
    device, dtype = config.cluster.device, config.model.dtype
    loaders = start_loaders(config.model.path, config.data, budget_of(config), device)
    workers = [
        actor(RolloutWorker, device, "rollout").remote(
            f"rollout-{index}",
            config.model.path,
            dtype,
            config.rollout,
            config.sampling.max_tokens,
            device,
        )
        for index in range(config.rollout.workers)
    ]
    ranks = [
        actor(LearnerRank, device, "learner").remote(device) for _ in range(config.learner.ranks)
    ]
    anchored = any(stage.kl.direction != "none" for stage in config.stages)
    scorers = [
        actor(AnchorScorer, device, "anchor").remote(dtype, config.sampling.temperature, device)
    ] * anchored
    roles = [("loader", loaders), ("rollout", workers), ("anchor", scorers), ("learner", ranks)]
    write_targets(run, roles)
    learner = Learner(ranks)
    learner.connect()
    return Fleet(
        loader=Loader(loaders),
        rollouts=Rollouts(workers),
        anchor=Anchor(scorers[0] if scorers else None),
        learner=learner,
    )


def start_loaders(model: Path, data: DataConfig, budget: Budget, device: Device) -> list[Any]:
    """The processes that decode and preprocess for a model."""
    return [
        actor(PromptLoader, device).remote(model, data, budget.video, budget.longest_prompt)
        for _ in range(data.loaders)
    ]


def actor(cls: type, device: Device, role: str | None = None) -> Any:
    """A plain class as a Ray actor with its share of a device."""
    share = GPU_SHARE[role] if role and device == "cuda" else 0
    return ray.remote(cls).options(num_cpus=0, num_gpus=share)


def write_targets(run: RunDirectory, roles: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Wait until every role serves metrics and list their addresses for Prometheus."""
    metrics.ROLLOUT_WORKERS.set(len(dict(roles)["rollout"]))
    targets = [target("driver", 0, metrics.serve())]
    for role, members in roles:
        ports = fetch([member.serve_metrics.remote() for member in members], f"{role}, starting")
        targets += [target(role, index, port) for index, port in enumerate(ports)]
    atomic_write(run.path / "prometheus_targets.json", json.dumps(targets, indent=2) + "\n")


def target(role: str, index: int, port: int) -> dict[str, Any]:
    """One entry of Prometheus's file_sd format."""
    return {"targets": [f"127.0.0.1:{port}"], "labels": {"role": role, "index": str(index)}}
