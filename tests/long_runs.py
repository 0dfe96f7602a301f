"""A run of many steps as its files tell it, made in seconds; its lines are as real ones."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from builders import earned
from stand_ins import group, questions

from videothinker.method.scoring import score_groups
from videothinker.run.directory import RunDirectory
from videothinker.run.rollout_files import TOGETHER, rollouts_file
from videothinker.run.rollouts import write_groups
from videothinker.types import AnchorScores, ScoredGroup

STAGE = "cdpo"
BEGAN, SECONDS = 1_796_000_000.0, 40.0
"""When its first step began, and how long each takes."""
LOST_EVERY, VALIDATED_EVERY, SKIPPED_EVERY = 100, 50, 20
"""Steps from one to the next."""
FIGURES = (
    *("accuracy", "format", "observational_accuracy", "inferential_accuracy", "bound_share"),
    *("clip_share", "divergence_gradient", "entropy", "fresh_share", "importance_mean"),
    *("importance_truncated", "kl", "logprob_drift", "logprob_gap", "logprob_gap_max", "loss"),
    *("policy_gradient", "grad_norm", "repulsion_ratio", "learning_rate", "completion_length"),
    *("truncated_share", "truncated_tokens", "duplicate_share"),
    *("equal_reward_groups", "debias_share"),
)
PHASES = ("wait", "learn", "validate", "sync", "prepare", "generate", "score")
ROLE = ("memory_gb", "memory_peak_gb", "tokens_per_second", "flops_per_second", "mfu")


def long_run(folder: Path, steps: int) -> RunDirectory:
    """Under way, after so many steps. The rollouts are one file by many names, of the newest steps:
    older ones somebody has removed."""
    stages = f"[{{name: {STAGE}, steps: {2 * steps}, prompts_per_step: 2}}]"
    run = RunDirectory.create(folder, f"name: long\nstages: {stages}\n")
    every = range(1, steps + 1)
    _write(folder / "metrics.jsonl", map(_step, every))
    _write(
        folder / "validation.jsonl", map(_validated, every[VALIDATED_EVERY - 1 :: VALIDATED_EVERY])
    )
    _write(folder / "skipped.jsonl", map(_skipped, every[SKIPPED_EVERY - 1 :: SKIPPED_EVERY]))
    lost = (one for step in every[LOST_EVERY - 1 :: LOST_EVERY] for one in _lost(step))
    _write(folder / "events.jsonl", [*_begun(), *lost])
    newest = write_groups(folder, STAGE, steps, paper_groups(2))
    for step in every[-2 * TOGETHER : -1]:
        os.link(newest, rollouts_file(folder, STAGE, step))
    run.status(state="training", stage=STAGE, step=steps, steps=2 * steps)
    return run


def paper_groups(count: int) -> list[ScoredGroup]:
    """With eight completions each, of the paper's lengths, and an anchor's opinion."""
    asked = []
    for question in questions(count):
        one = group(question, 1, 8, "rollout-0")
        anchor = AnchorScores(logprobs=tuple(c.logprobs - 1 for c in one.completions))
        asked.append((one, earned(one, ("soft_accuracy", "format")), anchor))
    return score_groups(asked)


def _write(file: Path, lines: Iterable[dict[str, Any]]) -> None:
    with file.open("w") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)


def _step(step: int) -> dict[str, Any]:
    values = {name: _value(step, place) for place, name in enumerate(FIGURES)}
    seconds = {name: _value(step, place) for place, name in enumerate(PHASES)}
    role = {name: _value(step, place) for place, name in enumerate(ROLE)}
    return {
        "step": step,
        "stage": STAGE,
        "reward": _value(step, 0) + _value(step, 1),
        **values,
        "samples": 16,
        "tokens": 2400,
        "skipped": 0,
        "weights_version": step,
        "seconds": {**seconds, "total": SECONDS},
        "coefficient": 0.01,
        "lowered": 0,
        "roles": {name: role | {"utilisation": None} for name in ("rollout", "anchor", "learner")},
        "sync_gb_per_second": _value(step, 3),
        "time": BEGAN + SECONDS * step,
    }


def _value(step: int, phase: int) -> float:
    """Between 0 and 1, with as many digits as a mean has; slowly up and down, with noise."""
    return 0.5 + 0.3 * math.sin(step / 5000 + phase) + 0.2 * math.sin(step * 12.9898 + phase)


def _validated(step: int) -> dict[str, Any]:
    score = {"mean": _value(step, 1), "low": 0.1, "high": 0.9, "n": 500}
    kinds = ("observational", "inferential", "overall", "format")
    by_kind = {"by_kind": {"choice": score}, "waited": 0.2}
    line = {"stage": STAGE, "step": step, "answered": 500, **dict.fromkeys(kinds, score)}
    return {**line, "shortcut_gap": 0.0, **by_kind, "time": BEGAN + SECONDS * step}


def _skipped(step: int) -> dict[str, Any]:
    reason = f"/data/clevrer/videos/video_{step:05}.mp4: no frame could be decoded"
    return {"stage": STAGE, "step": step, "question_id": f"video_{step:05}/q3", "reason": reason}


def _begun() -> Iterator[dict[str, Any]]:
    for name in ("learner-0", "loader-0", "anchor-0", "rollout-0", "rollout-1"):
        role = name.partition("-")[0]
        yield {"time": BEGAN, "event": "started", "role": role, "process": name, "seconds": 35.4}


def _lost(step: int) -> Iterator[dict[str, Any]]:
    """In the middle of a step, and back a step later."""
    process = {"role": "rollout", "process": f"rollout-{step // LOST_EVERY % 2}"}
    moment = BEGAN + SECONDS * (step - 0.5)
    reason = f"{process['process']}, sampling: its process ended (killed by signal 9)"
    yield {"time": moment, "event": "lost", **process, "reason": reason, "seconds": 1.0}
    yield {"time": moment + SECONDS, "event": "started", **process, "seconds": 35.4}
    yield {"time": moment + SECONDS + 2, "event": "served", **process, "seconds": 42.1}
