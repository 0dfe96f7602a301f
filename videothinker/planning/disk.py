"""What a run writes to the disk that is large, by part, in GB (1e9 bytes)."""

from __future__ import annotations

import shutil
from pathlib import Path

from videothinker.config.settings import RunConfig, StageConfig
from videothinker.errors import InputError
from videothinker.model.families.known import shape_of
from videothinker.model.shape import ModelShape
from videothinker.planning.adapters import published_gb
from videothinker.planning.memory import OPTIMIZER_BYTES, UNCOPIED_OPTIMIZER_BYTES
from videothinker.planning.passes import GB

TOKEN_BYTES = 10
"""Of a completion: its id, both log-probs, its part of the text, compressed."""


def disk_need(config: RunConfig, shape: ModelShape) -> dict[str, float]:
    """Each stage's model, its best one where that is kept, with another that may be better; of an
    anchor that is the policy of some steps ago the old and the new one, and one for each state; and
    the states of one stage: those that are kept, the one that is being written before the oldest
    goes, and one that is being copied. A stage that saves none has none. Of an adapter the base is
    in none of them. And every group's rollouts, as if each completion were as long as it may be.
    """
    learner, best = config.learner, sum(stage.keep_best is not None for stage in config.stages)
    models = len(config.stages) + best + bool(best)
    saved = max((stage.steps - 1) // learner.save_every for stage in config.stages)
    states = min(saved, learner.keep_states + 1 + (config.copy_to is not None))
    if any(stage.kl.moves for stage in config.stages):
        models += 2 + states
    return {
        "states": states * state_gb(config, shape),
        "models": models * published_gb(config, shape),
        "rollouts": sum(stage.steps * rollouts_gb(config, stage) for stage in config.stages),
    }


def rollouts_gb(config: RunConfig, stage: StageConfig) -> float:
    """What a step's groups take at most, once they are packed (`run/rollout_files.py`)."""
    groups = stage.prompts_per_step + config.sampling.refill
    return groups * config.sampling.group_size * config.sampling.max_tokens * TOKEN_BYTES / GB


def state_gb(config: RunConfig, shape: ModelShape) -> float:
    """One state, of all ranks together. Under ZeRO 3 the optimizer's copy is the only one."""
    learner = config.learner
    copied = learner.zero_stage > 0 or config.model.dtype == "bfloat16"
    optimizer = OPTIMIZER_BYTES if copied else UNCOPIED_OPTIMIZER_BYTES
    weights = 0.0 if learner.zero_stage == 3 else published_gb(config, shape)
    return weights + optimizer * shape.trained(learner) / GB


def shortage(config: RunConfig) -> str | None:
    """Why the disk cannot hold the run; None where it can, or where that cannot be said.

    What an interrupted run has written already counts as room.
    """
    try:
        shape = shape_of(config.model.path)
    except InputError:
        return None
    need = disk_need(config, shape)
    room = free_gb(config.out) + written_gb(config.out / "stages")
    if sum(need.values()) <= room:
        return None
    return (
        f"out: {config.out} has room for {room:.0f} GB and the run writes up to"
        f" {sum(need.values()):.0f}: states {need['states']:.0f}, {state_gb(config, shape):.0f}"
        f" each, models {need['models']:.0f}, rollouts {need['rollouts']:.0f}. Free some, name"
        " another folder (out=DIR), or lower learner.keep_states"
    )


def free_gb(folder: Path) -> float:
    """Where a folder is or will be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GB


def written_gb(folder: Path) -> float:
    """All files below a folder, which need not exist."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / GB
