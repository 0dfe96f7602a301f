"""A picture of several small charts beside each other, each a line through its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from videothinker.report.charts import Series, line_chart
from videothinker.report.markup import element, standing_alone

WIDTH, HEIGHT, GAP = 300, 220, 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One of them."""

    label: str
    points: Sequence[tuple[float, float]]
    x_label: str
    y_label: str


def in_a_row(panels: Sequence[Panel], title: str) -> str:
    """The picture, as a file of its own."""
    parts = []
    for place, panel in enumerate(panels):
        series = [Series(label=panel.label, points=tuple(panel.points), colour=2)]
        labels = {"x_label": panel.x_label, "y_label": panel.y_label}
        chart = line_chart(series, **labels, width=WIDTH, height=HEIGHT)
        x = GAP + place * (WIDTH + GAP)
        parts.append(element("svg", chart, x=x, y=GAP / 2, width=WIDTH, height=HEIGHT))
    return standing_alone(len(panels) * (WIDTH + GAP) + GAP, HEIGHT + GAP, parts, title)
