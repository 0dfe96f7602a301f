"""How sure a study's figures are: 95% intervals and p-values from few cells and many questions.

A mean over cells and questions varies for two reasons, and each is drawn on its own:

    cells      other warm starts and seeds would have come out differently. Three warm starts are
               too few to resample: the percentiles of such a bootstrap hold the truth 75 to 93
               times in 100 instead of 95 (docs/study.md). So what the warm starts' means deviate by
               is drawn from Student's distribution, which knows how few they are. Seeds within a
               warm start are part of that spread
    questions  others would have been easier or harder: resampled, the same ones for every cell

With a single warm start the seeds take its place, and the figures hold for that base model only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

RESAMPLES = 10_000
SEED = 20_251
SPREAD = 100
"""Draws of Student's distribution for each that is used: alone, its far ends would be chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean with its 95% interval, and how probable one so far from zero is by chance."""

    mean: float
    low: float
    high: float
    p: float


def estimate(
    values: np.ndarray, warm_starts: Sequence[str], resamples: int = RESAMPLES
) -> Estimate:
    """Values [cells, questions], NaN where a cell has none; the warm start of each cell."""
    values = values[:, ~np.isnan(values).all(axis=0)]
    mean = float(np.nanmean(values))
    by_question = _of_questions(np.nanmean(values, axis=0), resamples)
    deviations = by_question + _of_cells(np.nanmean(values, axis=1), warm_starts, resamples)
    low, high = np.quantile(deviations, (0.025, 0.975))
    further = int((np.abs(deviations) >= abs(mean)).sum())
    return Estimate(
        mean=mean,
        low=mean + float(low),
        high=mean + float(high),
        p=(1 + further) / (1 + resamples),
    )


def _of_questions(values: np.ndarray, resamples: int) -> np.ndarray:
    """How the mean of these deviates with other questions."""
    known = ~np.isnan(values)
    counts = _question_counts(len(values), resamples)
    sums = counts @ np.where(known, values, 0).astype(np.float32)
    return np.asarray(sums / (counts @ known.astype(np.float32)) - values[known].mean())


@lru_cache(maxsize=4)
def _question_counts(questions: int, resamples: int) -> np.ndarray:
    """[resamples, questions]: how often each is drawn."""
    rng = np.random.default_rng([SEED, 0])
    drawn = rng.integers(questions, size=(resamples, questions))
    places = drawn + questions * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * questions)
    return counts.reshape(resamples, questions).astype(np.float32)


def _of_cells(values: np.ndarray, warm_starts: Sequence[str], resamples: int) -> np.ndarray:
    """How the mean of these deviates with other warm starts and seeds."""
    names = np.array(warm_starts)
    units = np.array([values[names == name].mean() for name in dict.fromkeys(warm_starts)])
    if len(units) == 1:
        units = values
    if len(units) == 1:  # nothing is known of other cells
        return np.zeros(resamples)
    spread = units.std(ddof=1) / len(units) ** 0.5
    return np.asarray(spread * _student(len(units) - 1, resamples))


@lru_cache(maxsize=4)
def _student(freedom: int, resamples: int) -> np.ndarray:
    """[resamples] of Student's distribution in random order, as evenly spread as its quantiles."""
    rng = np.random.default_rng([SEED, 1])
    many = np.sort(rng.standard_t(freedom, SPREAD * resamples))
    half = (many - many[::-1])[SPREAD // 2 :: SPREAD] / 2  # as far below zero as above
    return rng.permutation(half)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several comparisons, so corrected that one false alarm among them all is rare."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
