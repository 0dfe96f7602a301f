"""Intervals hold what they promise, on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from videothinker.study.statistics import estimate, holm

STARTS = ["a", "a", "a", "b", "b", "b", "c", "c", "c"]


def simulated(
    rng: np.random.Generator, *, between: float, within: float, questions: int = 40
) -> np.ndarray:
    """Nine cells of three warm starts, whose true mean is 0."""
    warm_starts = np.repeat(between * rng.normal(size=3), 3)
    cells = warm_starts + within * rng.normal(size=9)
    difficulty = rng.normal(size=questions)
    noise = rng.normal(size=(9, questions))
    return cells[:, None] + difficulty[None] + noise


@pytest.mark.parametrize(("between", "within"), [(0.0, 0.5), (0.5, 0.5), (1.0, 0.0)])
def test_nineteen_of_twenty_intervals_hold_the_truth(between: float, within: float) -> None:
    rng = np.random.default_rng(1)
    drawn = [simulated(rng, between=between, within=within) for _ in range(200)]
    found = [estimate(values, STARTS, resamples=2000) for values in drawn]
    share = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.91 <= share <= 0.995


def resampled(cells: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles of a bootstrap of warm starts and, within them, seeds."""
    starts = rng.integers(3, size=(500, 3, 1))
    means = cells[starts, rng.integers(3, size=(500, 3, 3))].mean(axis=(1, 2))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


@pytest.mark.parametrize(("between", "within", "held"), [(0.0, 1.0, 0.93), (1.0, 0.0, 0.75)])
def test_why_three_warm_starts_are_not_resampled(
    between: float, within: float, held: float
) -> None:
    rng = np.random.default_rng(5)
    drawn = between * rng.normal(size=(800, 3, 1)) + within * rng.normal(size=(800, 3, 3))
    share = np.mean([low <= 0 <= high for low, high in (resampled(one, rng) for one in drawn)])
    assert share == pytest.approx(held, abs=0.03)


def test_with_nothing_to_find_one_p_in_twenty_is_below_a_twentieth() -> None:
    rng = np.random.default_rng(2)
    drawn = [simulated(rng, between=0.3, within=0.3) for _ in range(200)]
    p = [estimate(values, STARTS, resamples=2000).p for values in drawn]
    assert np.mean(np.array(p) < 0.05) <= 0.09


def test_an_effect_larger_than_all_chance_is_found() -> None:
    values = simulated(np.random.default_rng(3), between=0.05, within=0.05) + 2
    found = estimate(values, STARTS)
    assert 0 < found.low < 2 < found.high
    assert found.p < 0.05


def test_the_mean_is_that_of_all_values() -> None:
    values = np.arange(12.0).reshape(3, 4)
    assert estimate(values, ["a", "b", "c"]).mean == 5.5


def test_equal_cells_leave_the_chance_of_the_questions() -> None:
    """160 of 400 right: the usual interval of a share, .40 +- .048."""
    right = np.tile(np.arange(400) < 160, (9, 1)).astype(float)
    found = estimate(right, STARTS)
    assert (found.low, found.high) == pytest.approx((0.352, 0.448), abs=0.003)


def test_equal_questions_leave_the_chance_of_the_warm_starts() -> None:
    """Means 0, 1, 2: Student's interval with two degrees of freedom, 1 +- 4.30 / sqrt(3)."""
    found = estimate(np.tile([[0.0], [1.0], [2.0]], (1, 50)), ["a", "b", "c"])
    assert (found.low, found.high) == pytest.approx((1 - 2.484, 1 + 2.484), abs=0.05)


def test_a_single_warm_start_leaves_the_chance_of_its_seeds() -> None:
    values = np.tile([[0.0], [1.0], [2.0]], (1, 50))
    assert estimate(values, ["a"] * 3) == estimate(values, ["a", "b", "c"])


def test_the_same_data_give_the_same_figures() -> None:
    values = simulated(np.random.default_rng(4), between=1, within=1)
    assert estimate(values, STARTS) == estimate(values, STARTS)


def test_a_value_that_is_missing_counts_neither_way() -> None:
    values = np.array([[1.0, np.nan, 1.0], [1.0, 1.0, np.nan]])
    found = estimate(values, ["a", "b"])
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert holm({"x": 0.04, "y": 0.01, "z": 0.03}) == pytest.approx(
        {"x": 0.06, "y": 0.03, "z": 0.06}
    )
    assert holm({"x": 0.9, "y": 0.8}) == {"x": 1.0, "y": 1.0}
