"""What there is to say of a study before anything is started, and at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videothinker.config.kl import KLConfig
from videothinker.config.loading import dotted_values
from videothinker.config.settings import RunConfig
from videothinker.progress import duration
from videothinker.run.lock import finished_summary
from videothinker.study.cells import cells, runs_of
from videothinker.study.config import Arm, StudyConfig
from videothinker.study.table import table

WARM_START_SECONDS = 190.0
START_SECONDS = 30.0
"""Of a run's processes."""
STAGE_SECONDS = 17.0
"""A stage's loading and export."""
COMPLETION_SECONDS = 0.0155
"""A completion's share of a training step."""
ANSWER_SECONDS = 0.02
"""All from a quickstart with two cores to itself: 308 s with three stages of 40 steps of 96
completions and four exams of 600 answers, about 12 s an exam and 1.5 s a step (2026-11-22)."""


def dry_run(study: StudyConfig) -> dict[str, Any]:
    """Cells, arms and about how long they take: text and result."""
    every = cells(study)
    left = {
        cell.name: [run for run in runs_of(study, cell) if finished_summary(run.out) is None]
        for cell in every
    }
    done = [name for name, runs in left.items() if not runs]
    seconds = _seconds(study, [run for runs in left.values() for run in runs])
    width = max(len(arm.name) for arm in study.arms)
    runs = len(runs_of(study, every[0]))
    parts = f"{len(study.arms)} arms" + (f" in {runs} runs" if runs > 1 else "")
    lines = [f"{study.name}: {len(every)} cells of {parts}, {study.split} questions"]
    lines += [
        f"  {cell.name}{' (finished)' if cell.name in done else ''}: {cell.base}" for cell in every
    ]
    lines.append("arms of each cell, beside its base:")
    lines += [
        f"  {arm.name:<{width}}  {arm.questions} questions, {arm.steps} steps of"
        f" {arm.prompts_per_step}, {_divergence(arm.kl)}{_replayed(arm, study.sampling.group_size)}"
        f"{_own_learner(arm, study)}"
        for arm in study.arms
    ]
    lines.append("compared: " + ", ".join(f"{a} minus {b}" for a, b in study.pairs))
    lines.append(f"at most about {duration(seconds)} on two cores like those this was measured on")
    result = {
        "cells": [cell.name for cell in every],
        "finished": done,
        "arms": list(study.arm_names),
        "paired": [f"{a}-minus-{b}" for a, b in study.pairs],
        "minutes": round(seconds / 60),
        "config": study.model_dump(mode="json"),
    }
    return {"text": "\n".join(lines), "result": result}


def told(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What there is to say of a study's results: text, result, notes and exit code."""
    missing = [f"not measured: {one['arm']} of {one['cell']}" for one in found["missing"]]
    text = f"{table(found)}\n{folder / 'figure.svg'}"
    return {"text": text, "result": found, "notes": missing, "exit_code": int(bool(missing))}


def _seconds(study: StudyConfig, left: Sequence[RunConfig]) -> float:
    """For the runs that are left, as if one after another; side by side they take no longer."""
    made = sum(isinstance(base, int) for base in study.warm_starts) if left else 0
    seconds = made * WARM_START_SECONDS
    for run in left:
        completions = sum(stage.steps * stage.prompts_per_step for stage in run.stages)
        completions *= run.sampling.group_size
        answers = 2 * int(getattr(study.world, study.split)) * (1 + len(run.stages))
        seconds += START_SECONDS + len(run.stages) * STAGE_SECONDS
        seconds += completions * COMPLETION_SECONDS + answers * ANSWER_SECONDS
    return seconds


def _divergence(kl: KLConfig) -> str:
    if kl.direction == "none":
        return "no divergence term"
    if kl.direction not in ("repel", "attract"):
        asked = f" {_anchor(kl)}" if kl.asks else ""
        compared = f", {kl.likelihood}" if kl.direction == "tie_break" else ""
        return f"{kl.direction}{asked} at {kl.coefficient:g}{_schedule(kl)}{compared}"
    held = f", held at {kl.target:g}" if kl.target is not None else _schedule(kl)
    return f"{kl.direction} {_anchor(kl)}, {kl.estimator} at {kl.coefficient:g}{held}"


def _anchor(kl: KLConfig) -> str:
    every = f" of every {kl.anchor_every} steps" if kl.moves else ""
    view = "" if kl.anchor_view == "video" else f" ({kl.anchor_view})"
    return f"{kl.anchor}{every}{view}"


def _schedule(kl: KLConfig) -> str:
    if kl.schedule == "constant":
        return ""
    return f" ({kl.schedule}, {kl.schedule_steps} steps)"


def _own_learner(arm: Arm, study: StudyConfig) -> str:
    if arm.learner is None:
        return ""
    shared = study.learner.model_dump(mode="json")
    given = arm.learner.model_dump(mode="json", exclude_unset=True)
    other = {key: value for key, value in given.items() if value != shared[key]}
    return "".join(f", {key} = {value}" for key, value in dotted_values(other, "learner"))


def _replayed(arm: Arm, group_size: int) -> str:
    return f", {arm.replay} of each {group_size} from the base" if arm.replay else ""
