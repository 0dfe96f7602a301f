"""results.json as a second picture: what some arms met in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from videothinker.report.charts import SERIES_COLOURS, Series, colour, line_chart
from videothinker.study.learning import SERIES

WIDTH, HEIGHT, GAP, TOP, KEY = 400, 240, 24, 34, 22
STYLE = """
svg { --paper: #fcfbf9; --ink: #1d2127; --muted: #666d78; --rule: #e3e1dc; --s0: #b5485d;
  --s1: #1f6f8f; --s2: #c07420; --s3: #5d8a3a; --s4: #7a5aa6; --s5: #8a919c; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14161a; --ink: #e6e7ea; --muted: #9aa2ae; --rule: #2e333c; --s0: #dc7b8c;
    --s1: #58a9c9; --s2: #e0a04f; --s3: #93c06e; --s4: #b39ad8; --s5: #8b94a1; }
}
.paper { fill: var(--paper); }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--muted);
  font-variant-numeric: tabular-nums; }
text.arm { fill: var(--ink); font-size: 13px; }
.grid { stroke: var(--rule); }
.line { fill: none; stroke-width: 2; }
.raw { opacity: .2; stroke-width: 1; }
"""


def curves(results: Mapping[str, Any]) -> str:
    """The whole of learning.svg: a panel for each series, a line for each arm that is drawn."""
    arms = [arm for arm in results["drawn"] if arm in results["learning"]]
    width, height = len(SERIES) * (WIDTH + GAP) + GAP, TOP + HEIGHT + KEY
    parts = [f'<rect class="paper" width="{width}" height="{height}"/>']
    left = GAP
    for place, arm in enumerate(arms):
        parts.append(
            f'<g><path d="M{left} 17h18" style="stroke:{colour(place)};stroke-width:3"/>'
            f'<text class="arm" x="{left + 24}" y="21">{escape(arm)}</text></g>'
        )
        left += 24 + 8 * len(arm) + 22
    for place, (name, title) in enumerate(SERIES.items()):
        series = [
            Series(label=arm, points=_points(results["learning"][arm][name]), colour=number)
            for number, arm in enumerate(arms)
        ]
        chart = line_chart(
            series, x_label="step", y_label=title, share=True, width=WIDTH, height=HEIGHT
        )
        at = f'<svg x="{GAP + place * (WIDTH + GAP)}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}"'
        parts.append(chart.replace("<svg", at, 1))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' role="img" aria-label="{escape(", ".join(SERIES.values()))}"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def first_arms(names: Sequence[str], reference: str) -> tuple[str, ...]:
    """The arms that are drawn where a study names none: the reference first, as many as colours."""
    return (reference, *(name for name in names if name != reference))[:SERIES_COLOURS]


def _points(values: Sequence[float | None]) -> tuple[tuple[float, float], ...]:
    return tuple((step, value) for step, value in enumerate(values, start=1) if value is not None)
