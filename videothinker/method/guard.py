"""Watches a stage's metrics: whether the policy collapses, how strong the divergence should be.

Pure: fed one line of metrics.jsonl a step, and rebuilt for a resumed run by feeding it the lines on
the disk. docs/guard.md has the reasons and the measurements behind the constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from videothinker.config.kl import DEDUCTING, KLConfig
from videothinker.config.settings import StageConfig
from videothinker.method.debias import DEDUCTION

Line = Mapping[str, Any]

NOISE = 5.0
"""Standard errors by which a mean must differ before it counts as different."""
LOST = 0.8
"""Below this share of its best, reward is lost: a symptom is then no mere change of style."""
HALVED = 0.5
"""Below this share of its best, lost reward needs no other symptom."""
CHANGE = 3.0
"""A level has changed when it is a third or three times what it was at the start."""
BOUND_SHARE = 0.2
"""From this share of tokens at the bound on, the policy has run away from the anchor."""
REPULSION_RATIO = 10.0
"""From here on the divergence alone decides where the policy goes."""
EARNED = ("reward", "format", "strict_format")
"""Under a deduction, reward is what was earned before it: wrong answers have nothing taken off, so
that what is left can rise while fewer are right."""

OUTWARDS, BACK, BACK_LIMIT = 0.1, 0.3, 0.5
"""How much a held coefficient changes in a step, as a power of e: per relative distance below the
target, above it, and at most. A policy that is too near loses time, one that ran away is lost.
"""
RANGE = 100.0
"""How far a held coefficient may move from the configured one, either way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What to do after a step, and why."""

    action: Literal["healthy", "lower", "stop"] = "healthy"
    cause: str = ""
    good: bool = True
    """Whether reward stands near its best, so that the state is worth keeping."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """A level of the last steps that no healthy run shows while it loses reward."""

    words: str
    value: Callable[[Line], float | None]
    present: Callable[[float, float], bool]
    """Of the level at the start and the level now."""
    alone: bool = True
    """Whether it counts in a run that has never earned anything."""


@dataclass(frozen=True, slots=True)
class Level:
    """Mean and step-to-step deviation over a window that ends at a step."""

    mean: float
    deviation: float
    step: int


class HeldCoefficient:
    """Raises and lowers a coefficient, by a bounded factor a step, to hold a divergence."""

    def __init__(self, kl: KLConfig) -> None:
        assert kl.target is not None
        self._target = kl.target
        self._sign = 1.0 if kl.direction == "repel" else -1.0
        self._configured = kl.coefficient
        self.value = kl.coefficient

    def watch(self, kl: float | None) -> None:
        """Take in the divergence that a step measured; without one nothing changes."""
        if kl is None:
            return
        missing = min(1.0, 1 - kl / self._target)
        change = max(-BACK_LIMIT, missing * (OUTWARDS if missing > 0 else BACK))
        value = self.value * math.exp(self._sign * change)
        self.value = min(max(value, self._configured / RANGE), self._configured * RANGE)


class StageGuard:
    """Says after each step of a stage whether the policy is collapsing, and what the next step
    multiplies the divergence with."""

    def __init__(self, stage: StageConfig) -> None:
        self._config, self._kl = stage.guard, stage.kl
        deducting = stage.kl.direction in DEDUCTING
        self._reward = "reward before its deduction" if deducting else "reward"
        self._held = None if stage.kl.target is None else HeldCoefficient(stage.kl)
        self._start: list[Line] = []
        self._recent: list[Line] = []
        self._best: dict[str, Level] = {}
        self._grace = stage.guard.window
        self.lowered = 0
        """How often the coefficient has been halved."""
        self.good = True
        """Whether reward stands near its best, so that the state is worth keeping."""

    @classmethod
    def replay(cls, stage: StageConfig, lines: Iterable[Line]) -> StageGuard:
        """The steering of a run that left these lines behind, those of other stages included."""
        steering = cls(stage)
        for line in lines:
            if line["stage"] == stage.name:
                steering.watch(line)
        return steering

    def coefficient(self, step: int) -> float:
        """What the step that comes next multiplies the divergence with; 0 without one.

        It is told which, since a step without a sample leaves no line to count.
        """
        if self._kl.direction == "none":
            return 0.0
        whole = self._held.value if self._held else self._kl.scheduled(step)
        return float(whole * 0.5**self.lowered)

    def watch(self, line: Line) -> Verdict:
        """Take in one step's line."""
        if self._held is not None:
            self._held.watch(line.get("kl"))
        if self._kl.direction in DEDUCTING:
            line = _undeducted(line)
        verdict = self._judge(line)
        self.good = verdict.good
        return verdict

    def _judge(self, line: Line) -> Verdict:
        if self._config.action == "off":
            return Verdict()
        window = self._config.window
        if len(self._start) < window:
            self._start.append(line)
        self._recent = [*self._recent, line][-window:]
        self._grace -= 1
        if len(self._recent) < window:
            return Verdict()
        levels = {key: level for key in EARNED if (level := _level(key, self._recent))}
        for key, level in levels.items():
            if key not in self._best or level.mean > self._best[key].mean:
                self._best[key] = level
        lost, halved = self._lost(levels, LOST), self._lost(levels, HALVED)
        # halved reward decides; what came with it shows in the newer half already
        symptoms = self._symptoms(bool(lost), self._recent[-(window // 2) if halved else 0 :])
        if not (halved or symptoms) or self._waits(line["step"]):
            return Verdict(good=not lost)
        cause = f"over the last {window} steps " + "; ".join(lost + symptoms)
        return self._act(line["step"], cause)

    def _act(self, step: int, cause: str) -> Verdict:
        if self._config.action == "stop":
            return Verdict(action="stop", cause=cause, good=False)
        if self.coefficient(step + 1) == 0:
            remark = "; the coefficient is 0 already"
            return Verdict(action="stop", cause=cause + remark, good=False)
        if self.lowered == self._config.lowerings:
            remark = f"; the coefficient had been lowered {self.lowered} times"
            return Verdict(action="stop", cause=cause + remark, good=False)
        self.lowered += 1
        self._grace = self._config.window  # the next verdict is about other steps
        return Verdict(action="lower", cause=cause, good=False)

    def _waits(self, step: int) -> bool:
        """Whether the steps are still to come that show what a lowering did. The end of an early
        schedule is one, to 0."""
        kl, guard = self._kl, self._config
        if guard.action == "lower" and kl.schedule == "early" and kl.schedule_steps is not None:
            return self._grace > 0 or 0 <= step - kl.schedule_steps < guard.window
        return self._grace > 0

    def _lost(self, levels: Mapping[str, Level], share: float) -> list[str]:
        """Which rewards fell below this share of their best, by more than chance."""
        lost = []
        for key, now in levels.items():
            best = self._best[key]
            chance = NOISE * best.deviation * math.sqrt(2 / self._config.window)
            if now.mean < share * best.mean and best.mean - now.mean > chance:
                what = key if key != "reward" else self._reward
                lost.append(f"{what} was {now.mean:.3g} after {best.mean:.3g} at step {best.step}")
        return lost

    def _symptoms(self, lost: bool, lines: list[Line]) -> list[str]:
        reward = self._best.get("reward")
        earned = reward is not None and reward.mean > NOISE * reward.deviation / math.sqrt(
            self._config.window
        )
        found = []
        for symptom in SYMPTOMS:
            if not lost and (earned or not symptom.alone):
                continue
            start, now = _middle(symptom, self._start), _middle(symptom, lines)
            if start is not None and now is not None and symptom.present(start, now):
                found.append(f"{symptom.words} {now:.3g} ({start:.3g} at the start)")
        return found


def stop_message(where: str, stage: StageConfig, step: int, cause: str) -> str:
    """What the user reads when the guard ends a run; `where` is the stage's place, `stages.N`."""
    if stage.kl.direction == "none":
        remedy = "a lower learner.learning_rate"
    elif stage.kl.direction not in ("repel", "attract"):
        remedy = f"{where}.kl.coefficient below {stage.kl.coefficient:g}"
    else:
        held = f", {where}.kl.target" if stage.kl.schedule == "constant" else ""
        remedy = f"{where}.kl.coefficient below {stage.kl.coefficient:g}{held}"
        remedy += f" or {where}.guard.action=lower"
    return (
        f"stage {stage.name}, step {step}: the policy is collapsing: {cause}. The states and models"
        f" saved before stand. Start another run with {remedy}; {where}.guard.action=off trains on"
    )


def _undeducted(line: Line) -> Line:
    """With the reward that was earned, whatever was taken off it."""
    if line.get("reward") is None or line.get(DEDUCTION) is None:
        return line
    return {**line, "reward": line["reward"] - line[DEDUCTION]}


def _plainly(key: str) -> Callable[[Line], float | None]:
    return lambda line: line.get(key)


def _rest(key: str) -> Callable[[Line], float | None]:
    """1 minus a share."""
    return lambda line: None if line.get(key) is None else 1 - line[key]


def _ratio(line: Line) -> float | None:
    """As `objective.repulsion_ratio`, from its parts: an infinite one is null on the disk."""
    divergence, policy = line.get("divergence_gradient"), line.get("policy_gradient")
    if divergence is None or policy is None:
        return None
    return float(divergence / policy) if policy else math.inf if divergence else 0.0


def _fell(start: float, now: float) -> bool:
    return now < start / CHANGE


def _rose(start: float, now: float) -> bool:
    return now > start * CHANGE


SYMPTOMS = (
    Symptom("entropy fell to", _plainly("entropy"), _fell),
    Symptom("entropy rose to", _plainly("entropy"), _rose),
    Symptom("completion length fell to", _plainly("completion_length"), _fell),
    Symptom("completion length rose to", _plainly("completion_length"), _rose),
    Symptom("the share that ends within max_tokens fell to", _rest("truncated_share"), _fell),
    Symptom("the share that repeats no other fell to", _rest("duplicate_share"), _fell),
    Symptom("bound_share was", _plainly("bound_share"), lambda _start, now: now >= BOUND_SHARE),
    Symptom("repulsion_ratio was", _ratio, lambda _start, now: now >= REPULSION_RATIO, alone=False),
)


def _middle(symptom: Symptom, lines: list[Line]) -> float | None:
    """The median, which a single odd step cannot move; None where a step did not report it."""
    values = [value for line in lines if (value := symptom.value(line)) is not None]
    return median(values) if len(values) == len(lines) else None


def _level(key: str, lines: list[Line]) -> Level | None:
    values = [line[key] for line in lines if line.get(key) is not None]
    if len(values) < len(lines):
        return None
    mean = fmean(values)  # statistics.stdev is exact, and takes fifty times as long
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return Level(mean, deviation, lines[-1]["step"])
