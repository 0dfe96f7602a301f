"""Charts as plain SVG text, coloured by the page's own CSS so that they follow light and dark.

Series colours are the custom properties --s0, --s1, ... of the page; nothing here knows a colour.
Every chart is drawn at the width it will be shown at, so its letters stay readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

Place = Callable[[float, float], tuple[float, float]]
"""From a value pair to a point of the drawing."""

SERIES_COLOURS = 6
LABELS_BESIDE_FROM = 600
"""Width from which a row's label has room beside it."""
ROOM_FOR_PERCENT = 34
"""Width from which a bar has room for its value with a sign."""
LONGEST_LABEL = 44
POINTS = 400
"""Of a line; a drawing has no room for more."""
SMOOTH_FROM = 24
"""Points from which a curve also gets a moving mean; below, the raw line is readable itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One estimate with its 95% interval, all as shares between 0 and 1."""

    label: str
    mean: float
    low: float
    high: float
    colour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """One estimate with its 95% interval, and what guessing would reach, as shares."""

    label: str
    mean: float
    low: float
    high: float
    chance: float | None
    n: int
    colour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line: (x, y) in order of x."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """One step as a stack of parts, all of one unit."""

    label: str
    group: str
    parts: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A sign above one of the steps."""

    place: int
    kind: str
    """A class of the page's style sheet."""
    label: str


def percent(share: float) -> str:
    """A share as people read it: 0.424 -> 42%."""
    return f"{100 * share:.0f}%"


def colour(index: int) -> str:
    """The CSS value of a series colour; further series start again from the first."""
    return f"var(--s{index % SERIES_COLOURS})"


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers, about `count` of them, whose first and last enclose the range."""
    if high <= low:
        margin = abs(low) * 0.1
        low, high = (low - margin, high + margin) if margin else (0.0, 1.0)
    rough = (high - low) / count
    magnitude: float = 10 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """The ticks with as many decimals as tell them apart."""
    step = values[1] - values[0]
    if step < 1e-4:
        return [f"{value:.1e}" if value else "0" for value in values]
    decimals = 0
    while decimals < 5 and abs(round(step, decimals) - step) > 1e-9 * step:
        decimals += 1
    return [f"{value:,.{decimals}f}" for value in values]


def grouped_bars(
    groups: Sequence[tuple[str, Sequence[Bar]]], width: int, height: int, summary: str
) -> str:
    """Bars from 0% to 100% with their intervals, one group a title."""
    left, right, top, bottom = 42, 4, 30, 26
    inner, floor = width - left - right, height - bottom
    scale = floor - top
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = floor - share * scale
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(left - 6, y + 4, percent(share), "end"))
    slot = inner / max(len(groups), 1)
    most = max((len(bars) for _, bars in groups), default=1)
    bar_width = min(56.0, slot * 0.84 / max(most, 1))
    for place, (title, bars) in enumerate(groups):
        centre = left + (place + 0.5) * slot
        parts.append(_text(centre, height - 7, title, "middle", "group"))
        start = centre - bar_width * len(bars) / 2
        for index, bar in enumerate(bars):
            parts.append(_bar(bar, start + index * bar_width, bar_width, floor, scale))
    return _svg(width, height, parts, summary)


def _bar(bar: Bar, x: float, width: float, floor: float, scale: float) -> str:
    middle, cap = x + width / 2, min(6.0, width / 5)
    y, low, high = (floor - share * scale for share in (bar.mean, bar.low, bar.high))
    whisker = (
        f"M{middle:.1f} {low:.1f}V{high:.1f}"
        f"M{middle - cap:.1f} {low:.1f}h{2 * cap:.1f}M{middle - cap:.1f} {high:.1f}h{2 * cap:.1f}"
    )
    title = f"{bar.label}: {percent(bar.mean)} ({percent(bar.low)} to {percent(bar.high)})"
    shown = percent(bar.mean) if width >= ROOM_FOR_PERCENT else f"{100 * bar.mean:.0f}"
    label = _text(middle, high - 6, shown, "middle", "value") if width >= 18 else ""
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x + 1.5:.1f}" y="{y:.1f}" width="{width - 3:.1f}" '
        f'height="{floor - y:.1f}" rx="2" style="fill:{colour(bar.colour)}"/>'
        f'<path class="whisker" d="{whisker}"/>{label}</g>'
    )


def dot_rows(dots: Sequence[Dot], width: int, summary: str) -> str:
    """A row for each estimate from 0% to 100%: dot, interval, and a tick at chance.

    Labels stand beside their rows, or above them where the drawing is narrow.
    """
    beside = width >= LABELS_BESIDE_FROM
    longest = max((len(dot.label) for dot in dots), default=0)
    left = min(320.0, 16 + 6.8 * longest) if beside else 8.0
    right, top, step = 98, 20, 27 if beside else 46
    scale = width - left - right
    height = top + step * len(dots) + 4
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - 2}"/>')
        parts.append(_text(x, 12, percent(share), "middle" if share or beside else "start"))
    for place, dot in enumerate(dots):
        y = top + (place + 0.5) * step + (0 if beside else 8)
        at = (left - 12, y + 4, "end") if beside else (left, y - 13, "start")
        parts.append(_dot(dot, at, left, scale, y))
        parts.append(_text(width - right + 14, y + 4, percent(dot.mean), "start", "value"))
        parts.append(_text(width - 2, y + 4, f"n {dot.n:,}", "end"))
    return _svg(width, height, parts, summary)


def _dot(dot: Dot, at: tuple[float, float, str], left: float, scale: float, y: float) -> str:
    x, low, high = (left + share * scale for share in (dot.mean, dot.low, dot.high))
    title = f"{dot.label}: {percent(dot.mean)} ({percent(dot.low)} to {percent(dot.high)})"
    tick = ""
    if dot.chance is not None:
        title += f", chance {percent(dot.chance)}"
        tick = f'<path class="chance" d="M{left + dot.chance * scale:.1f} {y - 7:.1f}v14"/>'
    name = dot.label if len(dot.label) <= LONGEST_LABEL else dot.label[: LONGEST_LABEL - 1] + "…"
    return (
        f"<g><title>{escape(title)}</title>{_text(at[0], at[1], name, at[2], 'row')}{tick}"
        f'<path class="whisker" d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" style="fill:{colour(dot.colour)}"/></g>'
    )


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    share: bool = False,
    width: int = 300,
    height: int = 200,
) -> str:
    """Lines over a common pair of axes; share fixes the range to 0% .. 100%."""
    drawn = [one for one in series if one.points]
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    if not xs:
        return ""
    y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if share else ticks(min(ys), max(ys))
    y_names = [percent(tick) for tick in y_ticks] if share else tick_labels(y_ticks)
    left, right, top, bottom = 14 + 6.2 * max(map(len, y_names)), 10, 22, 34
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (width - left - right), height - bottom - up * (
            height - bottom - top
        )

    parts = [_text(4, 12, y_label, "start")]
    for tick, name in zip(y_ticks, y_names, strict=True):
        y = at(x_low, tick)[1]
        parts.append(
            f'<line class="grid" x1="{left:.1f}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(left - 6, y + 4, name, "end"))
    for tick in _whole_ticks(x_low, x_high):
        parts.append(_text(at(tick, y_ticks[0])[0], height - bottom + 15, f"{tick:,.0f}", "middle"))
    parts.append(_text(width - right, height - 4, x_label, "end"))
    for one in drawn:
        parts.append(_line(one, at))
    return _svg(width, height, parts, f"{y_label} by {x_label}")


def _line(series: Series, at: Place) -> str:
    stroke = f"stroke:{colour(series.colour)}"
    title = f"<title>{escape(series.label)}</title>"
    points, line = thinned(series.points), '<polyline class="line'
    if len(points) == 1:
        x, y = at(*points[0])
        fill = f"fill:{colour(series.colour)}"
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" style="{fill}">{title}</circle>'
    if len(points) < SMOOTH_FROM:
        return f'{line}" points="{_path(points, at)}" style="{stroke}">{title}</polyline>'
    smooth = moving_mean(points, window=max(5, len(points) // 12))
    return (
        f'{line} raw" points="{_path(points, at)}" style="{stroke}"/>'
        f'{line}" points="{_path(smooth, at)}" style="{stroke}">{title}</polyline>'
    )


def stacked_steps(slices: Sequence[Slice], marks: Sequence[Mark], width: int, height: int) -> str:
    """A stack of seconds for each step, side by side, with signs above those that have some.

    Neighbours are drawn as their mean where there are more than fit. A few that are far longer than
    the others are cut off; how long they were is in their tooltip.
    """
    left, right, top, bottom = 44, 4, 34, 26
    inner, floor = width - left - right, height - bottom
    together = -(-len(slices) // (inner // 3))
    drawn = [slices[at : at + together] for at in range(0, len(slices), together)]
    stacks = [[fmean(p) for p in zip(*(one.parts for one in few), strict=True)] for few in drawn]
    y_ticks = ticks(0.0, _usual(stacks))
    scale, each = (floor - top) / y_ticks[-1], inner / len(drawn)
    parts = [_text(4, 12, "seconds", "start")]
    for tick, name in zip(y_ticks, tick_labels(y_ticks), strict=True):
        y = floor - tick * scale
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(left - 6, y + 4, name, "end"))
    for place, (few, stack) in enumerate(zip(drawn, stacks, strict=True)):
        title = few[0].label + (f" to {few[-1].label}" if len(few) > 1 else "")
        spot = (left + place * each, each, floor, floor - top)
        parts.append(_stack(stack, f"{title}: {sum(stack):,.1f} s", spot, scale))
    parts += _borders([few[0].group for few in drawn], left, each, floor)
    for mark in marks:
        x = left + (mark.place // together + 0.5) * each
        parts.append(
            f'<path class="sign {mark.kind}" d="M{x:.1f} {top - 6}l-4 -8h8z">'
            f"<title>{escape(mark.label)}</title></path>"
        )
    return _svg(width, height, parts, "seconds of each step by phase")


def _usual(stacks: Sequence[Sequence[float]]) -> float:
    """The longest step, or three times what nine in ten stay below, if that is less."""
    totals = sorted(sum(stack) for stack in stacks)
    return min(totals[-1], 3 * totals[int(0.9 * (len(totals) - 1))])


def _stack(
    stack: Sequence[float], title: str, spot: tuple[float, float, float, float], scale: float
) -> str:
    x, width, floor, room = spot
    rects, done = "", 0.0
    for place, part in enumerate(stack):
        tall = min(part * scale, room - done)
        if tall > 0:
            rects += (
                f'<rect x="{x:.2f}" y="{floor - done - tall:.1f}" width="{width * 0.9:.2f}" '
                f'height="{tall:.1f}" style="fill:var(--p{place})"/>'
            )
        done += max(0.0, tall)
    return f"<g><title>{escape(title)}</title>{rects}</g>"


def _borders(groups: Sequence[str], left: float, each: float, floor: float) -> list[str]:
    """Below each run of equal groups its name, as far as there is room; a line between two."""
    parts, start = [], 0
    for place in range(1, len(groups) + 1):
        if place < len(groups) and groups[place] == groups[start]:
            continue
        x, wide = left + start * each, (place - start) * each
        if start:
            parts.append(f'<path class="border" d="M{x:.1f} {floor + 6:.1f}V20"/>')
        name = groups[start][: max(1, int(wide / 8))]
        parts.append(_text(x + wide / 2, floor + 18, name, "middle", "group"))
        start = place
    return parts


def moving_mean(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """The mean of each point's neighbourhood; at both ends, of the part of it that exists."""
    half = window // 2
    result = []
    for place, (x, _) in enumerate(points):
        near = [y for _, y in points[max(0, place - half) : place + half + 1]]
        result.append((x, sum(near) / len(near)))
    return result


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them: neighbours as their mean, where there are more."""
    together = -(-len(points) // POINTS)
    few = (points[at : at + together] for at in range(0, len(points), together))
    return [(fmean(x for x, _ in some), fmean(y for _, y in some)) for some in few]


def _whole_ticks(low: float, high: float) -> list[float]:
    """Steps are whole numbers, and so are their ticks; only those inside the range are shown."""
    return [tick for tick in ticks(low, high) if tick == int(tick) and low <= tick <= high]


def _path(points: Sequence[tuple[float, float]], at: Place) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))


def _text(x: float, y: float, content: str, anchor: str, kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _svg(width: int, height: int, parts: Sequence[str], summary: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(summary)}">'
        f"{''.join(parts)}</svg>"
    )
