"""What processes hold where engines sleep while the learner works (`rollout.sleep`), in GB.

the learner rests    engines are awake: they sample, then they take what it publishes
the learner works    engines sleep
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from videothinker.config.settings import RunConfig
from videothinker.model.shape import BYTES, ModelShape
from videothinker.planning.memory import (
    GRAPHS_GB,
    anchor_parts,
    context_gb,
    engine_parts,
    learner_parts,
    learner_phases,
    total,
)
from videothinker.planning.passes import GB, Parts

SeatedRole = Literal["learner", "rollout", "anchor"]
KEPT = ("weights", "optimizer", "context", "transfer")
"""By a learner, all the time."""
Needs = Mapping[SeatedRole, Parts]


def turns(config: RunConfig, shape: ModelShape) -> list[Needs]:
    """What a process of each role holds: at its most, or in either turn, engines awake first."""
    most: Needs = {
        "learner": learner_parts(config, shape),
        "rollout": engine_parts(config, shape),
        "anchor": anchor_parts(config, shape),
    }
    if not config.rollout.sleep:
        return [most]
    return [
        {**most, "learner": resting_learner(config, shape)},
        {**most, "rollout": sleeping_engine(config)},
    ]


def resting_learner(config: RunConfig, shape: ModelShape) -> Parts:
    """One rank between its steps: gradients and buckets, of which DeepSpeed may keep less, or under
    ZeRO 3 all weights, to publish or to save them.
    """
    most, step = learner_parts(config, shape), learner_phases(config, shape)[0]
    phases: list[Parts] = [{name: step[name] for name in ("gradients", "buckets") if name in step}]
    if config.learner.zero_stage == 3:
        phases.append({"gathered": shape.parameters * BYTES[config.model.dtype] / GB})
    return {name: most[name] for name in KEPT} | max(phases, key=total)


def sleeping_engine(config: RunConfig) -> Parts:
    """What vLLM's sleep leaves: captured graphs keep memory of their own."""
    graphs = GRAPHS_GB if config.cluster.device == "cuda" else 0.0
    return {"graphs": graphs, "context": context_gb(config)}
