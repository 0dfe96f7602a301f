"""Charts as SVG, coloured by the page's own CSS so that they follow light and dark.

Every chart is drawn at the width it will be shown at, so its letters stay readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from markupsafe import Markup

from videothinker.report.markup import colour, drawing, element, text

Projection = Callable[[float, float], tuple[float, float]]
"""From a value pair to a point of the drawing."""

LABELS_BESIDE_FROM = 600
"""Width from which a row's label has room beside it."""
ROOM_FOR_PERCENT = 34
"""Width from which a bar has room for its value with a sign."""
LONGEST_LABEL = 44
POINTS = 400
"""Of a line; a drawing has no room for more."""
SMOOTH_FROM = 24
"""Points from which a curve also gets a moving mean; below, the raw line is readable itself."""
SAID = 3
"""Of what a sign stands for; of more it says how many."""
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One estimate with its 95% interval, all as shares between 0 and 1."""

    label: str
    mean: float
    low: float
    high: float
    colour: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot(Bar):
    """A bar's estimate as a row of its own, with what guessing would reach."""

    chance: float | None
    n: int


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
) -> Markup:
    """Bars from 0% to 100% with their intervals, one group a title."""
    left, right, top, bottom = 42, 4, 30, 26
    floor = height - bottom
    scale = floor - top
    shelves = [(floor - share * scale, percent(share)) for share in QUARTERS]
    parts = _shelves(shelves, left, width - right)
    slot = (width - left - right) / max(len(groups), 1)
    most = max((len(bars) for _, bars in groups), default=1)
    bar_width = min(56.0, slot * 0.84 / max(most, 1))
    for place, (title, bars) in enumerate(groups):
        centre = left + (place + 0.5) * slot
        parts.append(text(centre, height - 7, title, "middle", "group"))
        start = centre - bar_width * len(bars) / 2
        for index, bar in enumerate(bars):
            parts.append(_bar(bar, start + index * bar_width, bar_width, floor, scale))
    return drawing(width, height, parts, summary)


def _shelves(named: Iterable[tuple[float, str]], left: float, right: float) -> list[Markup]:
    """A line across at each height, its name before it."""
    parts = []
    for y, name in named:
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
        parts.append(text(left - 6, y + 4, name, "end"))
    return parts


def _bar(bar: Bar, x: float, width: float, floor: float, scale: float) -> Markup:
    middle, cap = x + width / 2, min(6.0, width / 5)
    y, low, high = (floor - share * scale for share in (bar.mean, bar.low, bar.high))
    whisker = (
        f"M{middle:.1f} {low:.1f}V{high:.1f}"
        f"M{middle - cap:.1f} {low:.1f}h{2 * cap:.1f}M{middle - cap:.1f} {high:.1f}h{2 * cap:.1f}"
    )
    shown = percent(bar.mean) if width >= ROOM_FOR_PERCENT else f"{100 * bar.mean:.0f}"
    size = {"x": x + 1.5, "y": y, "width": width - 3, "height": floor - y}
    return element(
        "g",
        element("title", told(bar)),
        element("rect", **size, rx=2, style=f"fill:{colour(bar.colour)}"),
        element("path", class_="whisker", d=whisker),
        text(middle, high - 6, shown, "middle", "value") if width >= 18 else "",
    )


def told(bar: Bar) -> str:
    """An estimate as its tooltip says it."""
    return f"{bar.label}: {percent(bar.mean)} ({percent(bar.low)} to {percent(bar.high)})"


def dot_rows(dots: Sequence[Dot], width: int, summary: str) -> Markup:
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
    for share in QUARTERS:
        x = left + share * scale
        parts.append(element("line", class_="grid", x1=x, x2=x, y1=top, y2=height - 2))
        parts.append(text(x, 12, percent(share), "middle" if share or beside else "start"))
    for place, dot in enumerate(dots):
        y = top + (place + 0.5) * step + (0 if beside else 8)
        at = (left - 12, y + 4, "end") if beside else (left, y - 13, "start")
        parts.append(_dot(dot, at, left, scale, y))
        parts.append(text(width - right + 14, y + 4, percent(dot.mean), "start", "value"))
        parts.append(text(width - 2, y + 4, f"n {dot.n:,}", "end"))
    return drawing(width, height, parts, summary)


def _dot(dot: Dot, at: tuple[float, float, str], left: float, scale: float, y: float) -> Markup:
    x, low, high = (left + share * scale for share in (dot.mean, dot.low, dot.high))
    title, tick = told(dot), ""
    if dot.chance is not None:
        title += f", chance {percent(dot.chance)}"
        guessed = f"M{left + dot.chance * scale:.1f} {y - 7:.1f}v14"
        tick = element("path", class_="chance", d=guessed)
    name = dot.label if len(dot.label) <= LONGEST_LABEL else dot.label[: LONGEST_LABEL - 1] + "…"
    return element(
        "g",
        element("title", title),
        text(at[0], at[1], name, at[2], "row"),
        tick,
        element("path", class_="whisker", d=f"M{low:.1f} {y:.1f}H{high:.1f}"),
        element("circle", cx=x, cy=y, r=5, style=f"fill:{colour(dot.colour)}"),
    )


def line_chart(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    share: bool = False,
    width: int = 300,
    height: int = 200,
) -> Markup:
    """Lines over a common pair of axes; share fixes the range to 0% .. 100%."""
    drawn = [one for one in series if one.points]
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    if not xs:
        return Markup()
    y_ticks = list(QUARTERS) if share else ticks(min(ys), max(ys))
    y_names = [percent(tick) for tick in y_ticks] if share else tick_labels(y_ticks)
    left, right, top, bottom = 14 + 6.2 * max(map(len, y_names)), 10, 22, 34
    floor = height - bottom
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (width - left - right), floor - up * (floor - top)

    heights = [at(x_low, tick)[1] for tick in y_ticks]
    parts = [text(4, 12, y_label, "start")]
    parts += _shelves(zip(heights, y_names, strict=True), left, width - right)
    for tick in ticks(x_low, x_high):
        if tick == int(tick) and x_low <= tick <= x_high:  # steps are whole numbers
            parts.append(text(at(tick, y_ticks[0])[0], floor + 15, f"{tick:,.0f}", "middle"))
    parts.append(text(width - right, height - 4, x_label, "end"))
    parts += [part for one in drawn for part in _line(one, at)]
    return drawing(width, height, parts, f"{y_label} by {x_label}")


def _line(series: Series, at: Projection) -> list[Markup]:
    """The raw line, and a smooth one over it where there are points enough; a dot for one."""
    own, title = colour(series.colour), element("title", series.label)
    points = thinned(series.points)
    if len(points) == 1:
        x, y = at(*points[0])
        return [element("circle", title, cx=x, cy=y, r=3, style=f"fill:{own}")]
    lines = [("line", points)]
    if len(points) >= SMOOTH_FROM:
        smooth = moving_mean(points, window=max(5, len(points) // 12))
        lines = [("line raw", points), ("line", smooth)]
    return [
        element(
            "polyline",
            title if kind == "line" else "",
            class_=kind,
            points=" ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in places)),
            style=f"stroke:{own}",
        )
        for kind, places in lines
    ]


def stacked_steps(
    slices: Sequence[Slice], marks: Sequence[Mark], width: int, height: int
) -> Markup:
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
    heights = [floor - tick * scale for tick in y_ticks]
    parts = [text(4, 12, "seconds", "start")]
    parts += _shelves(zip(heights, tick_labels(y_ticks), strict=True), left, width - right)
    for place, (few, stack) in enumerate(zip(drawn, stacks, strict=True)):
        title = few[0].label + (f" to {few[-1].label}" if len(few) > 1 else "")
        spot = (left + place * each, each, floor, floor - top)
        parts.append(_stack(stack, f"{title}: {sum(stack):,.1f} s", spot, scale))
    parts += _borders([few[0].group for few in drawn], left, each, floor)
    signs: dict[tuple[int, str], list[str]] = {}
    for mark in marks:
        signs.setdefault((mark.place // together, mark.kind), []).append(mark.label)
    for (place, kind), labels in signs.items():
        x = left + (place + 0.5) * each
        more = [f"and {len(labels) - SAID} more"] if len(labels) > SAID else []
        shape, title = f"M{x:.1f} {top - 6}l-4 -8h8z", "; ".join(labels[:SAID] + more)
        parts.append(element("path", element("title", title), class_=f"sign {kind}", d=shape))
    return drawing(width, height, parts, "seconds of each step by phase")


def _usual(stacks: Sequence[Sequence[float]]) -> float:
    """The longest step, or three times what nine in ten stay below, if that is less."""
    totals = sorted(sum(stack) for stack in stacks)
    return min(totals[-1], 3 * totals[int(0.9 * (len(totals) - 1))])


def _stack(
    stack: Sequence[float], title: str, spot: tuple[float, float, float, float], scale: float
) -> Markup:
    x, width, floor, room = spot
    parts, done = [element("title", title)], 0.0
    for place, part in enumerate(stack):
        tall = min(part * scale, room - done)
        if tall > 0:
            size = {"y": floor - done - tall, "height": tall}
            fine = {"x": f"{x:.2f}", "width": f"{width * 0.9:.2f}"}  # a step may be 3 wide
            parts.append(element("rect", **size, **fine, style=f"fill:var(--p{place})"))
        done += max(0.0, tall)
    return element("g", *parts)


def _borders(groups: Sequence[str], left: float, each: float, floor: float) -> list[Markup]:
    """Below each run of equal groups its name, as far as there is room; a line between two."""
    parts: list[Markup] = []
    x = left
    for group, alike in groupby(groups):
        wide = len(list(alike)) * each
        if parts:
            parts.append(element("path", class_="border", d=f"M{x:.1f} {floor + 6:.1f}V20"))
        name = group[: max(1, int(wide / 8))]
        parts.append(text(x + wide / 2, floor + 18, name, "middle", "group"))
        x += wide
    return parts


def moving_mean(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """The mean of each point's neighbourhood; at both ends, of the part of it that exists."""
    half, ys = window // 2, [y for _, y in points]
    means = (fmean(ys[max(0, place - half) : place + half + 1]) for place in range(len(ys)))
    return [(x, mean) for (x, _), mean in zip(points, means, strict=True)]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS of them: neighbours as their mean, where there are more."""
    together = -(-len(points) // POINTS)
    few = (points[at : at + together] for at in range(0, len(points), together))
    return [(fmean(x for x, _ in some), fmean(y for _, y in some)) for some in few]
