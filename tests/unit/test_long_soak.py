"""What the long soak calls growth."""

from __future__ import annotations

import random

import pytest
from long_soak import Sample, Trend, table, trends

DICE = random.Random(1)


def samples(each: float, count: int = 60) -> list[Sample]:
    """A process that takes so many MiB more from look to look, and noise; beside it a neighbour's
    end, and what is meant to grow."""
    return [
        {
            "driver": {
                "rss_mib": 400 + each * place + DICE.random(),
                "pss_mib": 250.0 + 50 * (place > count - 10),
                "threads": 30,
            },
            "run": {"metrics_kib": 2.0 * place},
        }
        for place in range(count)
    ]


def by_name(found: list[Trend]) -> dict[str, Trend]:
    return {f"{one.subject} {one.figure}": one for one in found}


def test_what_grows_by_the_step_is_told_from_noise_and_neighbours() -> None:
    for each, flat in ((0.0, True), (0.05, True), (1.0, False)):
        found = by_name(list(trends(samples(each))))
        assert found["driver rss_mib"].flat == flat
        assert found["driver threads"].flat
        assert found["driver pss_mib"].allowed is None
        assert found["run metrics_kib"].flat
    assert found["driver rss_mib"].rise == pytest.approx(29, abs=2)


def test_the_first_half_is_not_judged() -> None:
    warm = samples(5.0)[:30] + samples(0.0)[30:]
    assert by_name(list(trends(warm)))["driver rss_mib"].flat


def test_one_more_thread_for_good_is_seen() -> None:
    those = samples(0.0)
    for place, one in enumerate(those):
        one["driver"]["threads"] = 30 + place // 10
    assert not by_name(list(trends(those)))["driver threads"].flat


def test_the_table_says_what_grows() -> None:
    lines = table(list(trends(samples(1.0)))).splitlines()
    assert any("rss_mib" in line and "GROWS" in line for line in lines)
    assert any("metrics_kib" in line and "GROWS" not in line for line in lines)
    assert not any("pss_mib" in line for line in lines)
