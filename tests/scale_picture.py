"""The picture of docs/scale.md, from the figures of `tests/benchmarks/scale.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videothinker.report.charts import Series, line_chart
from videothinker.report.markup import element, standing_alone

WORKERS = (8, 64, 256, 1_024)
QUESTIONS = (1_000, 10_000, 100_000)
WIDTH, HEIGHT, GAP = 300, 220, 20
PANELS = {
    "workers": ("rollout workers", "microseconds_per_group", "microseconds a group"),
    "questions": ("questions a step", "microseconds_per_group", "microseconds a group"),
    "memory": ("questions a step", "memory_mib", "MiB"),
}


def picture(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Three panels; of processor time, which others on the machine hardly change."""
    parts = []
    for place, (name, (x_label, figure, y_label)) in enumerate(PANELS.items()):
        of = found["questions" if name == "memory" else name]
        points = tuple((float(size), one[figure]) for size, one in of.items())
        series = [Series(label=name, points=points, colour=2)]
        chart = line_chart(series, x_label=x_label, y_label=y_label, width=WIDTH, height=HEIGHT)
        x = GAP + place * (WIDTH + GAP)
        parts.append(element("svg", chart, x=x, y=GAP / 2, width=WIDTH, height=HEIGHT))
    width, height = len(PANELS) * (WIDTH + GAP) + GAP, HEIGHT + GAP
    return standing_alone(width, height, parts, "the driver by workers and questions")
