"""What one step reports: where its time went and what its groups looked like."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, get_args

import numpy as np

from videothinker.config.rewards import RewardName
from videothinker.config.settings import StageConfig
from videothinker.method.guard import StageGuard
from videothinker.process import metrics
from videothinker.types import LearnerReport, RolloutGroup, ScoredGroup, Wording

ACCURACIES = ("soft_accuracy", "accuracy", "strict_accuracy")
"""Rewards that say how right a completion is."""
OURS = {*get_args(RewardName), "discount"}
USUAL_OVER = 20
"""Steps whose median is the usual time of one."""


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
    seconds: dict[str, float],
    version: int,
    steering: StageGuard,
) -> dict[str, Any]:
    """One line of metrics.jsonl; `version` is the policy's when the step began, `steering` still
    that which the step was made with. What is replayed trains, and says nothing of the policy.
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
        "duplicate_share": duplicate_share([scored.group for scored in groups]),
        "equal_reward_groups": float(np.mean([not scored.advantages.any() for scored in groups])),
        "skipped": stage.prompts_per_step - len(groups),
        "weights_version": groups[0].group.weights_version,
        "seconds": seconds,
    }
    if stage.kl.direction != "none":
        coefficient = steering.coefficient(report.step)
        line |= {"coefficient": coefficient, "lowered": steering.lowered}
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


def _all(groups: Sequence[ScoredGroup], reward: str) -> np.ndarray:
    return np.concatenate([scored.rewards[reward][: len(scored.group.own)] for scored in groups])


def _of_kind(groups: Sequence[ScoredGroup], kind: str) -> float | None:
    """Mean accuracy over the questions of one kind; None when a step had none of them."""
    return _accuracy([scored for scored in groups if scored.group.question.category == kind])


def _accuracy(groups: Sequence[ScoredGroup]) -> float | None:
    """Of all completions; None without any, or where no reward says it."""
    accuracies = [name for name in ACCURACIES if groups and name in groups[0].rewards]
    return float(_all(groups, accuracies[0]).mean()) if accuracies else None
