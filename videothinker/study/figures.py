"""results.json as two pictures: how right each arm ends, and what its training met step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from videothinker.report.charts import QUARTERS, Bar, Series, line_chart, percent, told
from videothinker.report.markup import SERIES_COLOURS, colour, element, standing_alone, text
from videothinker.study.learning import SERIES

PANELS = {
    "observational": "observational",
    "inferential": "inferential",
    "overall": "all questions",
}
LEFT, TOP, STEP, GAP, PANEL, BOTTOM = 150, 52, 26, 46, 200, 30
GREY, ORANGE, BLUE, PURPLE, GREEN, RED = range(SERIES_COLOURS)
DRAWN = (RED, BLUE, ORANGE, GREEN, PURPLE, GREY)
"""Colours of the arms whose training is drawn, in their order."""
CHART_WIDTH, CHART_HEIGHT, BETWEEN, ABOVE, BELOW = 400, 240, 24, 34, 22


def figure(results: Mapping[str, Any]) -> str:
    """The whole of figure.svg: a row for each arm, a panel for each kind of question."""
    arms, reference = results["arms"], results["reference"]
    own = {"base": GREY, "bias": ORANGE, reference: RED}
    width = LEFT + len(PANELS) * (PANEL + GAP)
    floor = TOP + STEP * len(arms)
    parts = [
        text(LEFT - 16, TOP + (place + 0.5) * STEP + 4, arm, "end", "arm")
        for place, arm in enumerate(arms)
    ]
    for place, (metric, title) in enumerate(PANELS.items()):
        left = LEFT + place * (PANEL + GAP)
        parts += _frame(left, floor, title)
        aim = arms.get(reference, {}).get(metric)
        if aim:
            dashed = f"M{left + aim['mean'] * PANEL:.1f} {TOP}V{floor}"
            parts.append(element("path", class_="mark", d=dashed))
        for row, (arm, entry) in enumerate(arms.items()):
            if metric in entry:
                bar = Bar(label=arm, **entry[metric], colour=own.get(arm, BLUE))
                parts.append(_dot(bar, left, TOP + (row + 0.5) * STEP))
    height = floor + BOTTOM
    parts.append(text(width - GAP, height - 8, f"95% intervals; dashed: {reference}", "end"))
    return standing_alone(width, height, parts, _summary(arms))


def _frame(left: float, floor: float, title: str) -> list[Markup]:
    """A panel from 0% to 100%."""
    parts = [text(left + PANEL / 2, 18, title, "middle", "title")]
    for share in QUARTERS:
        x = left + share * PANEL
        parts.append(element("path", class_="grid", d=f"M{x:.1f} {TOP}V{floor}"))
        parts.append(text(x, TOP - 10, percent(share), "middle"))
    return parts


def _dot(bar: Bar, left: float, y: float) -> Markup:
    mean, low, high = (left + share * PANEL for share in (bar.mean, bar.low, bar.high))
    paint, interval = colour(bar.colour), f"M{low:.1f} {y:.1f}H{high:.1f}"
    return element(
        "g",
        element("title", told(bar)),
        element("path", class_="interval", style=f"stroke:{paint}", d=interval),
        element("circle", cx=mean, cy=y, r=4.5, style=f"fill:{paint}"),
    )


def _summary(arms: Mapping[str, Any]) -> str:
    """For those who cannot see it."""
    said = []
    for arm, entry in arms.items():
        shares = [f"{name} {percent(entry[name]['mean'])}" for name in PANELS if name in entry]
        said.append(f"{arm} {', '.join(shares)}")
    return "Accuracy of each arm: " + "; ".join(said)


def curves(results: Mapping[str, Any]) -> str:
    """The whole of learning.svg: a panel for each series, a line for each arm that is drawn."""
    arms = [arm for arm in results["drawn"] if arm in results["learning"]]
    parts: list[Markup] = []
    left = BETWEEN
    for arm, place in zip(arms, DRAWN, strict=False):
        stroke = f"stroke:{colour(place)};stroke-width:3"
        parts.append(element("path", d=f"M{left} 17h18", style=stroke))
        parts.append(text(left + 24, 21, arm, "start", "arm"))
        left += 24 + 8 * len(arm) + 22
    for place, (name, title) in enumerate(SERIES.items()):
        series = [
            Series(label=arm, points=_points(results["learning"][arm][name]), colour=number)
            for arm, number in zip(arms, DRAWN, strict=False)
        ]
        size = {"width": CHART_WIDTH, "height": CHART_HEIGHT}
        chart = line_chart(series, x_label="step", y_label=title, share=True, **size)
        x = BETWEEN + place * (CHART_WIDTH + BETWEEN)
        parts.append(element("svg", chart, x=x, y=ABOVE, **size))
    width = len(SERIES) * (CHART_WIDTH + BETWEEN) + BETWEEN
    return standing_alone(width, ABOVE + CHART_HEIGHT + BELOW, parts, ", ".join(SERIES.values()))


def _points(values: Sequence[float | None]) -> tuple[tuple[float, float], ...]:
    return tuple((step, value) for step, value in enumerate(values, start=1) if value is not None)
