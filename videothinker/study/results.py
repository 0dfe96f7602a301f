"""From what the models of all cells answered to results.json: every figure of table and drawing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from videothinker.study.cells import KINDS, Cell
from videothinker.study.config import StudyConfig
from videothinker.study.learning import Learning, by_step
from videothinker.study.measuring import METRICS, Exam
from videothinker.study.pull import Pull, mean_pull
from videothinker.study.statistics import Estimate, estimate, holm

COMPARED = (
    *("observational", "inferential", "overall"),
    *("reasoning_wording", "cosmetic", "likeliest_overall"),
)
"""Metrics of which paired differences are taken."""
CORRECTED = ("inferential", "overall")
"""Metrics whose comparisons with the reference are corrected for how many there are."""
HIGHEST = {"divergence": np.inf, "words": np.inf}
LOWEST = {"divergence": -np.inf}
"""Of the metrics that are no shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One cell: by arm and metric the questions' values, and why arms are missing where it is
    known."""

    cell: Cell
    arms: Mapping[str, Mapping[str, np.ndarray]]
    learning: Mapping[str, Learning]
    pull: Mapping[str, Pull | None]
    failures: Mapping[str, str]


def results(study: StudyConfig, exam: Exam, measured: Sequence[Measured]) -> dict[str, Any]:
    """What results.json holds, without what a later run of the same models would have otherwise."""
    kinds = {kind: int(exam.kind(kind).sum()) for kind in KINDS}
    return {
        "name": study.name,
        "split": study.split,
        "config": digest_of(study),
        "warm_starts": list(dict.fromkeys(one.cell.warm_start for one in measured)),
        "seeds": list(study.seeds),
        "questions": {**kinds, "overall": len(exam.questions)},
        "reference": study.reference,
        "arms": {arm: found for arm in study.arm_names if (found := _arm(arm, measured))},
        "paired": _paired(study, measured),
        "learning": _learning(study, measured),
        "pull": _pulls(study, measured),
        "drawn": list(study.drawn),
        "cells": {one.cell.name: _cell(one) for one in measured},
        "missing": _missing(study, measured),
    }


def digest_of(study: StudyConfig) -> str:
    """Of every setting that can change a figure."""
    others: dict[str, Any] = dict.fromkeys(("out", "results", "jobs"), True)
    others["cluster"] = {"metrics_tls"}
    # as it was without these keys
    others["learner"] = set() if study.learner.overlap else {"overlap"}
    others["rollout"] = set() if study.rollout.drafts else {"drafts"}
    settings = study.model_dump_json(exclude=others)
    return hashlib.sha256(settings.encode()).hexdigest()


def _learning(study: StudyConfig, measured: Sequence[Measured]) -> dict[str, Any]:
    """Of the arms that a cell has trained."""
    return {
        arm.name: by_step(some)
        for arm in study.arms
        if (some := [one.learning[arm.name] for one in measured if arm.name in one.learning])
    }


def _pulls(study: StudyConfig, measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Of the arms of which it can be said."""
    by_arm = {arm.name: mean_pull(one.pull.get(arm.name) for one in measured) for arm in study.arms}
    return {arm: found for arm, found in by_arm.items() if found is not None}


def _arm(arm: str, measured: Sequence[Measured]) -> dict[str, Any]:
    """Each metric of an arm over the cells that have it."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        having = [one for one in measured if _counts(one.arms.get(arm, {}), metric)]
        if having:
            values = np.stack([one.arms[arm][metric] for one in having])
            one = estimate(values, [one.cell.warm_start for one in having])
            found[metric] = _entry(one, LOWEST.get(metric, 0.0), HIGHEST.get(metric, 1.0))
    return found


def _paired(study: StudyConfig, measured: Sequence[Measured]) -> dict[str, Any]:
    """Differences by cell and question, over the cells that have both arms."""
    paired: dict[str, dict[str, Any]] = {}
    p_values: dict[str, dict[str, float]] = {metric: {} for metric in CORRECTED}
    for first, second in study.pairs:
        both = [one for one in measured if one.arms.get(first) and one.arms.get(second)]
        if not both:
            continue
        name = f"{first}-minus-{second}"
        paired[name] = {"cells": len(both)}
        for metric in (metric for metric in COMPARED if _counts(both[0].arms[first], metric)):
            differences = [one.arms[first][metric] - one.arms[second][metric] for one in both]
            found = estimate(np.stack(differences), [one.cell.warm_start for one in both])
            paired[name][metric] = _entry(found, lowest=-1.0)
            if metric in CORRECTED:
                paired[name][metric]["p"] = found.p
                if second == study.reference:
                    p_values[metric][name] = found.p
    for metric, values in p_values.items():
        for name, corrected in holm(values).items():
            paired[name][metric]["p_holm"] = corrected
    return paired


def _counts(values: Mapping[str, np.ndarray], metric: str) -> bool:
    """Whether there is a question that a metric is about."""
    return metric in values and not bool(np.isnan(values[metric]).all())


def _entry(found: Estimate, lowest: float = 0.0, highest: float = 1.0) -> dict[str, float]:
    """An interval ends where what it is about does."""
    low, high = max(lowest, found.low), min(highest, found.high)
    return {"mean": found.mean, "low": low, "high": high}


def _cell(one: Measured) -> dict[str, Any]:
    return {
        "warm_start": one.cell.warm_start,
        "seed": one.cell.seed,
        "arms": {
            arm: {
                metric: float(np.nanmean(values[metric]))
                for metric in METRICS
                if _counts(values, metric)
            }
            for arm, values in one.arms.items()
        },
    }


def _missing(study: StudyConfig, measured: Sequence[Measured]) -> list[dict[str, str]]:
    """Every arm of every cell that there is no result of, with the reason."""
    return [
        {"cell": one.cell.name, "arm": arm, "reason": one.failures.get(arm, "not finished")}
        for one, arm in product(measured, study.arm_names)
        if arm not in one.arms
    ]
