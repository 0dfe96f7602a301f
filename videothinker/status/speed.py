"""How fast a run is, and how long it will still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from videothinker.status.snapshot import Fields, Snapshot, number

RECENT_STEPS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Rates over the last steps of the current stage; times left in seconds, without evaluations
    and exports, which take little.
    """

    step_seconds: float
    steps_per_minute: float
    samples_per_second: float
    tokens_per_second: float
    stage_seconds_left: float
    run_seconds_left: float


def pace(run: Snapshot) -> Speed | None:
    """None before a step has been timed."""
    current = str(run.status.get("stage"))
    lines = [line for line in run.metrics if line["stage"] == current and step_seconds(line)]
    lines = lines[-RECENT_STEPS:]
    if not lines:
        return None
    spent = sum(step_seconds(line) for line in lines)
    each = spent / len(lines)
    return Speed(
        step_seconds=each,
        steps_per_minute=60 / each,
        samples_per_second=_sum(lines, "samples") / spent,
        tokens_per_second=_sum(lines, "tokens") / spent,
        stage_seconds_left=_left(run, each, ("current",)),
        run_seconds_left=_left(run, each, ("current", "to come")),
    )


def step_seconds(line: Fields, phase: str = "total") -> float:
    """What a step, or a phase of it, took; 0 where its line does not say."""
    seconds = line.get("seconds")
    return (number(seconds.get(phase)) if isinstance(seconds, Mapping) else None) or 0.0


def _left(run: Snapshot, each: float, states: Sequence[str]) -> float:
    """A step of a later stage is taken to cost what its share of prompts does here."""
    stages = run.stages
    here = next((stage.prompts_per_step for stage in stages if stage.state == "current"), 1)
    return sum(
        (stage.steps - stage.done) * each * stage.prompts_per_step / here
        for stage in stages
        if stage.state in states
    )


def _sum(lines: Sequence[Fields], key: str) -> float:
    return sum(number(line.get(key)) or 0.0 for line in lines)
