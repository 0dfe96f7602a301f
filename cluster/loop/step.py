"""What one step reports: where its time went, what its groups looked like, and how fast each role
was, beside what its device could do.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

import numpy as np

from cluster.workers.fleet import Fleet
from videothinker.config.rewards import RewardName
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.method.debias import DEDUCTION
from videothinker.method.guard import StageGuard
from videothinker.method.scoring import alike
from videothinker.model.families.known import shape_of
from videothinker.model.flops import scoring_flops, training_flops
from videothinker.planning.passes import GB
from videothinker.process import metrics
from videothinker.process.cards import peak_flops
from videothinker.types import Completion, LearnerReport, RolloutGroup, ScoredGroup, Usage, Wording

ACCURACIES = ("soft_accuracy", "accuracy", "strict_accuracy")
"""Rewards that say how right a completion is."""
OURS = {*get_args(RewardName), DEDUCTION}
USUAL_OVER = 20
"""Steps whose median is the usual time of one."""
Heard = Sequence[Usage | None]
"""What each process of a role said last of its device; None of one not heard of yet."""


class StepClock:
    """Seconds of each phase of a step, and of the step."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens inside as this phase."""
        started = time.monotonic()
        yield
        self._phases[name] = time.monotonic() - started
        metrics.PHASE_SECONDS.labels(name).observe(self._phases[name])

    def add(self, seconds: Mapping[str, float]) -> None:
        """Phases that were timed elsewhere, beside others."""
        self._phases |= seconds
        for name, took in seconds.items():
            metrics.PHASE_SECONDS.labels(name).observe(took)

    def seconds(self) -> dict[str, float]:
        """Seconds by phase and in total."""
        return {**self._phases, "total": time.monotonic() - self._started}


class Laps:
    """Seconds between one end and the next, by name; a name may come more than once."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """A part of this name is over."""
        now = time.monotonic()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


class UsualStep:
    """Time from step to step, so that whoever watches a run knows when it stands still."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._steps: deque[float] = deque(maxlen=USUAL_OVER)

    def rest(self) -> None:
        """No steps are made for now: loading, evaluating, exporting."""
        self._last = None
        self._steps.clear()
        metrics.USUAL_STEP.set(0)

    def step(self) -> None:
        """A step is done."""
        now = time.monotonic()
        if self._last is not None:
            self._steps.append(now - self._last)
            metrics.USUAL_STEP.set(median(self._steps))
        self._last = now
        metrics.LAST_STEP.set_to_current_time()


def step_metrics(
    stage: StageConfig,
    report: LearnerReport,
    groups: Sequence[ScoredGroup],
    drawn: int,
    seconds: dict[str, float],
    version: int,
    steering: StageGuard,
) -> dict[str, Any]:
    """One line of metrics.jsonl, of all groups that were sampled of the questions drawn, also of
    those left out: only so do its figures say how the policy answers, whatever is trained on.

    `version` is the policy's when the step began, `steering` still that which the step was made
    with. What is replayed trains, and says nothing of the policy.
    """
    completions = [c for scored in groups for c in scored.group.own]
    lengths = [len(completion.token_ids) for completion in completions]
    rewards = {name: float(_all(groups, name).mean()) for name in groups[0].rewards}
    line: dict[str, Any] = {
        "step": report.step,
        "stage": stage.name,
        "reward": sum(rewards.values()),
        **{recorded_as(name): mean for name, mean in rewards.items()},
        **{f"{kind}_accuracy": _of_kind(groups, kind) for kind in ("observational", "inferential")},
        **report.stats,
        "samples": len(completions),
        "tokens": sum(lengths),
        "completion_length": float(np.mean(lengths)),
        "truncated_share": float(np.mean([c.finish_reason == "length" for c in completions])),
        "truncated_tokens": truncated_tokens(completions),
        "duplicate_share": duplicate_share([scored.group for scored in groups]),
        "equal_reward_groups": float(np.mean([alike(scored.rewards) for scored in groups])),
        "skipped": drawn - len(groups),
        "weights_version": groups[0].group.weights_version,
        "seconds": seconds,
    }
    if stage.kl.direction != "none":
        coefficient = steering.coefficient(report.step)
        line |= {"coefficient": coefficient, "lowered": steering.lowered}
        if stage.kl.anchor_view != "video":
            seen = [scored.anchor_saw_all for scored in groups if not scored.left_out]
            line["whole_views"] = float(np.mean(seen)) if seen else None
    if stage.kl.debiases:
        line["debias_share"] = debias_share(groups)
    metrics.show_step(line)
    for scored in groups:
        metrics.GROUP_STALENESS.observe(version - scored.group.weights_version)
    return line


def accuracy_by_wording(
    wordings: Sequence[Wording], groups: Sequence[ScoredGroup]
) -> dict[str, float | None]:
    """Of a run that asks in several: how right the groups of each were."""
    if len(wordings) < 2:
        return {}
    by = {one: [g for g in groups if g.group.question.wording == one] for one in wordings}
    return {f"{wording}_accuracy": _accuracy(some) for wording, some in by.items()}


def recorded_as(reward: str) -> str:
    """The key of its mean; a name of the user's must not be that of another figure."""
    return {"soft_accuracy": "accuracy"}.get(
        reward, reward if reward in OURS else f"reward_{reward}"
    )


def truncated_tokens(completions: Sequence[Completion]) -> float:
    """Of all tokens, those of completions that were cut off: what was sampled for no answer."""
    lengths = np.array([len(one.token_ids) for one in completions])
    cut = np.array([one.finish_reason == "length" for one in completions])
    return float(lengths[cut].sum() / max(1, lengths.sum()))


def duplicate_share(groups: Sequence[RolloutGroup]) -> float:
    """Of all completions but the first of each group, those that repeat another: 0 where all
    differ, 1 where all are the same.
    """
    repeats = others = 0
    for group in groups:
        distinct = {completion.token_ids.tobytes() for completion in group.own}
        repeats += len(group.own) - len(distinct)
        others += len(group.own) - 1
    return repeats / max(others, 1)


def debias_share(groups: Sequence[ScoredGroup]) -> float:
    """Of the size of all advantages trained on, what is not from what was earned alone: 0 where the
    direction changes nothing, 1/2 where it changes as much as rewards say."""
    changes = [(one.debias, one.advantages) for one in groups if one.debias is not None]
    changed = sum(float(np.abs(debias).sum()) for debias, _ in changes)
    plain = sum(float(np.abs(all_of_it - debias).sum()) for debias, all_of_it in changes)
    return changed / (changed + plain) if changed else 0.0


def _all(groups: Sequence[ScoredGroup], reward: str) -> np.ndarray:
    return np.concatenate([scored.rewards[reward][: len(scored.group.own)] for scored in groups])


def _of_kind(groups: Sequence[ScoredGroup], kind: str) -> float | None:
    """Mean accuracy over the questions of one kind; None when a step had none of them."""
    return _accuracy([scored for scored in groups if scored.group.question.category == kind])


def _accuracy(groups: Sequence[ScoredGroup]) -> float | None:
    """Of all completions; None without any, or where no reward says it."""
    accuracies = [name for name in ACCURACIES if groups and name in groups[0].rewards]
    return float(_all(groups, accuracies[0]).mean()) if accuracies else None


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
    groups, opinions = [one.group for one in scored if not one.left_out], 1 + stage.kl.compares
    tokens = sum(len(one.token_ids) for group in groups for one in group.completions)
    scoring = sum(one.anchor_seconds for one in scored)
    work = {
        "rollout": RoleWork(
            tokens=sum(len(one.token_ids) for every in scored for one in every.group.own),
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
