"""What processes hold where engines sleep while the learner works (`rollout.sleep`), in GB.

the learner rests    engines are awake: they sample, then they take what it publishes
the learner works    engines sleep
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape
from videothinker.planning.adapters import base_gb, learner_scores
from videothinker.planning.memory import (
    GRAPHS_GB,
    anchor_parts,
    context_gb,
    engine_parts,
    learner_parts,
    learner_phases,
    scoring_phase,
    total,
)
from videothinker.planning.passes import Parts

SeatedRole = Literal["learner", "rollout", "anchor"]
KEPT = ("weights", "adapters", "optimizer", "context", "transfer")
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
    """One rank between its steps: gradients and, under ZeRO 3, buckets, of which DeepSpeed may keep
    less; or all weights there, to publish or to save them; or a pass as the anchor.
    """
    most, step = learner_parts(config, shape), learner_phases(config, shape)[0]
    stays = ("gradients", "buckets") if config.learner.zero_stage == 3 else ("gradients",)
    phases: list[Parts] = [{name: step[name] for name in stays if name in step}]
    if config.learner.zero_stage == 3:
        phases.append({"gathered": base_gb(config, shape)})
    if learner_scores(config):
        phases.append(scoring_phase(config, shape))
    return {name: most[name] for name in KEPT if name in most} | max(phases, key=total)


def sleeping_engine(config: RunConfig) -> Parts:
    """What vLLM's sleep leaves: captured graphs keep memory of their own."""
    graphs = GRAPHS_GB if config.cluster.device == "cuda" else 0.0
    return {"graphs": graphs, "context": context_gb(config)}
