"""How fast each role was in a step, beside what its device could do, and what it holds of that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.model.families.known import shape_of
from videothinker.model.flops import scoring_flops, training_flops
from videothinker.planning.passes import GB
from videothinker.process import metrics
from videothinker.process.cards import peak_flops
from videothinker.types import LearnerReport, ScoredGroup, Usage

Heard = Sequence[Usage | None]
"""What each process of a role said last of its device; None of one not heard of yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleWork:
    """What a role did in a step, and how long that took all its processes together."""

    tokens: int
    seconds: float
    flops: float | None = None


def performance(
    config: RunConfig,
    stage: StageConfig,
    fleet: Fleet,
    report: LearnerReport,
    scored: Sequence[ScoredGroup],
    generate_seconds: float,
) -> dict[str, Any]:
    """Of a line of metrics.jsonl: each role's figures, and the last update of an engine."""
    heard, shape = heard_of(fleet), shape_of(config.model.path)
    groups, opinions = [one.group for one in scored], 2 if stage.kl.compares else 1
    tokens = sum(len(one.token_ids) for group in groups for one in group.completions)
    scoring = sum(one.anchor_seconds for one in scored)
    work = {
        "rollout": RoleWork(
            tokens=sum(len(one.token_ids) for group in groups for one in group.own),
            seconds=generate_seconds,
        ),
        "anchor": RoleWork(
            tokens=tokens,
            seconds=scoring / max(1, len(heard["anchor"])),
            flops=opinions * sum(scoring_flops(shape, group) for group in groups),
        ),
        "learner": RoleWork(
            tokens=tokens,
            seconds=report.seconds,
            flops=sum(training_flops(shape, group, config.learner) for group in groups),
        ),
    }
    peaks = {role: peak(those, config.model.dtype) for role, those in heard.items()}
    size, took = fleet.learner.weights_bytes, fleet.rollouts.load_seconds
    metrics.WEIGHTS_BYTES.set(size)
    for role, most in peaks.items():
        metrics.PEAK_FLOPS.labels(role).set(math.nan if most is None else most)
    figures = {role: held(heard[role]) | rates(work[role], peaks[role]) for role in heard}
    return {
        "roles": {role: found for role, found in figures.items() if found},
        "sync_gb_per_second": size / GB / took if took else None,
    }


def heard_of(fleet: Fleet) -> dict[str, Heard]:
    """By role, whoever is there."""

    def look() -> dict[str, Heard]:
        return {
            "rollout": [one.usage for one in fleet.rollouts.pool.workers],
            "anchor": [one.usage for one in fleet.anchor.pool.workers],
            "learner": [one.usage for one in fleet.learner.workers],
        }

    return fleet.background.call(look)


def held(heard: Heard) -> dict[str, Any]:
    """What the processes of a role have of their devices: memory of the one that has most."""
    known = [one for one in heard if one is not None]
    if not known:
        return {}
    shares = [one.utilisation for one in known if one.utilisation is not None]
    return {
        "memory_gb": max(one.memory for one in known) / GB,
        "memory_peak_gb": max(one.peak for one in known) / GB,
        "utilisation": sum(shares) / len(shares) if shares else None,
        "threads": known[0].threads,
    }


def rates(work: RoleWork, peak: float | None) -> dict[str, Any]:
    """Of a role at work, without its waiting; none where nobody looked how long it took."""
    if not work.seconds:
        return {}
    found: dict[str, Any] = {"tokens_per_second": work.tokens / work.seconds}
    if work.flops is not None:
        found["flops_per_second"] = work.flops / work.seconds
        found["mfu"] = found["flops_per_second"] / peak if peak else None
    return found


def peak(heard: Heard, dtype: str) -> float | None:
    """What the cards of a role can do in a second, together; None where that is unknown of one."""
    peaks = [peak_flops(one.card, dtype) if one else None for one in heard]
    known = [most * one.cards for most, one in zip(peaks, heard, strict=True) if most and one]
    return sum(known) if known and len(known) == len(peaks) else None
