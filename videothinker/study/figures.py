"""results.json as one picture: a row for each arm, a panel for each kind of question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from videothinker.report.charts import SERIES_COLOURS, Series, colour, line_chart, percent
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

PANELS = {
    "observational": "observational",
    "inferential": "inferential",
    "overall": "all questions",
}
LEFT, TOP, STEP, GAP, PANEL, BOTTOM = 150, 52, 26, 46, 200, 30
STYLE = """
svg { --paper: #fcfbf9; --ink: #1d2127; --muted: #666d78; --rule: #e3e1dc; --plain: #1f6f8f;
  --base: #8a919c; --bias: #c07420; --reference: #b5485d; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #14161a; --ink: #e6e7ea; --muted: #9aa2ae; --rule: #2e333c; --plain: #58a9c9;
    --base: #8b94a1; --bias: #e0a04f; --reference: #dc7b8c; }
}
rect { fill: var(--paper); }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--muted);
  font-variant-numeric: tabular-nums; }
text.arm { fill: var(--ink); font-size: 13px; }
text.title { fill: var(--ink); font-size: 14px; font-weight: 600; }
.grid { stroke: var(--rule); }
.mark { stroke: var(--reference); stroke-dasharray: 4 3; opacity: .75; }
.interval { stroke-width: 2; opacity: .6; }
"""


def figure(results: Mapping[str, Any]) -> str:
    """The whole of figure.svg; it follows the reader's light or dark setting."""
    arms = results["arms"]
    width = LEFT + len(PANELS) * (PANEL + GAP)
    floor = TOP + STEP * len(arms)
    height = floor + BOTTOM
    parts = [f'<rect width="{width}" height="{height}"/>']
    for place, arm in enumerate(arms):
        parts.append(_text(LEFT - 16, TOP + (place + 0.5) * STEP + 4, arm, "end", "arm"))
    for place, (metric, title) in enumerate(PANELS.items()):
        left = LEFT + place * (PANEL + GAP)
        parts += _frame(left, floor, title)
        reference = arms.get(results["reference"], {}).get(metric)
        if reference:
            x = left + reference["mean"] * PANEL
            parts.append(f'<path class="mark" d="M{x:.1f} {TOP}V{floor}"/>')
        parts += [
            _dot(arm, entry[metric], left, TOP + (row + 0.5) * STEP, results["reference"])
            for row, (arm, entry) in enumerate(arms.items())
            if metric in entry
        ]
    note = f"95% intervals; dashed: {results['reference']}"
    parts.append(_text(width - GAP, height - 8, note, "end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' role="img" aria-label="{escape(_summary(arms))}"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def _frame(left: float, floor: float, title: str) -> list[str]:
    """A panel from 0% to 100%."""
    parts = [_text(left + PANEL / 2, 18, title, "middle", "title")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * PANEL
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{floor}"/>')
        parts.append(_text(x, TOP - 10, percent(share), "middle"))
    return parts


def _dot(arm: str, entry: Mapping[str, float], left: float, y: float, reference: str) -> str:
    mean, low, high = (left + entry[key] * PANEL for key in ("mean", "low", "high"))
    own = {"base": "base", "bias": "bias", reference: "reference"}
    colour = f"var(--{own.get(arm, 'plain')})"
    title = f"{arm}: {percent(entry['mean'])} ({percent(entry['low'])} to {percent(entry['high'])})"
    return (
        f"<g><title>{escape(title)}</title>"
        f'<path class="interval" style="stroke:{colour}" d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
        f'<circle cx="{mean:.1f}" cy="{y:.1f}" r="4.5" style="fill:{colour}"/></g>'
    )


def _text(x: float, y: float, content: str, anchor: str, kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


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
