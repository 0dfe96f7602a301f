"""The report's part about time and mishaps: each step's phases, who was lost, what was left out.

Reasons come from outside; all of it is escaped before it reaches the page.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from videothinker.progress import duration
from videothinker.report.charts import Mark, Slice, stacked_steps
from videothinker.report.training import chip
from videothinker.status.snapshot import Line, Snapshot, number
from videothinker.status.speed import step_seconds

PHASES = ("waiting for samples", "learning", "weights to the engines", "the rest")
"""What the driver does in a step, one after the other; together they are the step."""
INSIDE = ("prepare", "generate", "score")
"""What happens elsewhere while the driver waits."""
TELLING = {"lost": "lost", "joined": "more workers", "left": "fewer workers", "resumed": "resumed"}
NOTICED_SECONDS = 0.005
LISTED = 30
"""Losses and reasons that a page lists; of more it says how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happening:
    """Something that happened to a process."""

    kind: str
    """lost, joined, left or resumed"""
    time: float
    process: str
    reason: str = ""
    back_after: float | None = None
    """lost: seconds until its replacement had started."""


def timeline_section(run: Snapshot) -> str:
    """Seconds of each step by phase over the whole run, with what happened to its processes."""
    lines = [line for line in run.metrics if step_seconds(line)]
    if not lines:
        return ""
    ends = _ends(lines)
    marks = _marks(happenings(run.events, ends), lines, ends)
    slices = [Slice(label=_label(line), group=line["stage"], parts=_parts(line)) for line in lines]
    drawn = "".join(
        f'<div class="{kind}">{stacked_steps(slices, marks, width, height)}</div>'
        for kind, width, height in (("wide", 980, 270), ("narrow", 358, 240))
    )
    legend = "".join(chip(phase, place, "p") for place, phase in enumerate(PHASES))
    kinds = dict.fromkeys(mark.kind for mark in marks)
    signs = "".join(f'<span class="sign {kind}">{TELLING[kind]}</span>' for kind in kinds)
    return (
        "<h2>Where the time went</h2>"
        '<p class="note">Seconds of each step, in the order of the run. Samples are waited for '
        "while questions are prepared, answered and scored.</p>"
        f'<div class="legend">{legend}{signs}</div>{drawn}{_stages(lines)}'
    )


def mishaps_section(run: Snapshot) -> str:
    """Processes that were lost, and samples that were left out, each with its reason."""
    losses = [event for event in happenings(run.events, ()) if event.kind == "lost"]
    return f"<h2>What went wrong</h2>{_losses(losses, run.metrics)}{_left_out(run.skipped)}"


def happenings(events: Sequence[Line], ends: Sequence[float]) -> list[Happening]:
    """Losses, scalings and resumptions, in order; a first start and a replacement are neither.

    `ends`: when steps ended. Whoever starts before the first step that a driver makes was always to
    start.
    """
    present: set[str] = set()
    missing: set[str] = set()
    resumed = float("-inf")
    found: list[Happening] = []
    for place, event in enumerate(events):
        moment, process = number(event.get("time")), str(event.get("process"))
        kind = _kind(event, process in present, process in missing)
        if moment is None or kind is None:
            continue
        if kind == "resumed":
            present, missing, resumed = set(), set(), moment
        (missing.add if kind == "lost" else missing.discard)(process)
        (present.discard if kind in ("lost", "left") else present.add)(process)
        planned = kind == "joined" and not any(resumed < end <= moment for end in ends)
        if kind != "replaced" and not planned:
            found.append(_happening(kind, moment, process, event, events[place + 1 :]))
    return found


def _kind(event: Line, present: bool, missing: bool) -> str | None:
    """A process that starts though nobody missed it was started by another driver."""
    said = str(event.get("event"))
    if said == "started":
        return "replaced" if missing else "resumed" if present else "joined"
    return said if said in ("lost", "left") else None


def _happening(
    kind: str, moment: float, process: str, event: Line, later: Sequence[Line]
) -> Happening:
    starts = (
        number(other.get("time"))
        for other in later
        if other.get("event") == "started" and other.get("process") == process
    )
    back = next(starts, None) if kind == "lost" else None
    return Happening(
        kind=kind,
        time=moment,
        process=process,
        reason=str(event.get("reason") or "").removeprefix(f"{process}, "),
        back_after=None if back is None else back - moment,
    )


def _marks(found: Sequence[Happening], lines: Sequence[Line], ends: Sequence[float]) -> list[Mark]:
    """One mark for each step and kind; what came before the first step has none."""
    together: dict[tuple[int, str], list[str]] = {}
    for one in found:
        place = _place(one.time, lines, ends)
        if place is not None:
            said = f"{one.process} {one.kind}" + (f": {one.reason}" if one.reason else "")
            together.setdefault((place, one.kind), []).append(said)
    return [
        Mark(place=place, kind=kind, label=f"{_label(lines[place])}: {'; '.join(texts)}")
        for (place, kind), texts in together.items()
    ]


def _place(moment: float, lines: Sequence[Line], ends: Sequence[float]) -> int | None:
    """The step during which something happened, or the last one, if that was already done."""
    if not ends or moment < ends[0] - step_seconds(lines[0]):
        return None
    return min(bisect_left(ends, moment), len(lines) - 1)


def _ends(lines: Sequence[Line]) -> list[float]:
    """When each step ended; nothing where a line does not say, as those of older versions."""
    ends = [number(line.get("time")) for line in lines]
    known = [end for end in ends if end is not None]
    return known if len(known) == len(ends) else []


def _label(line: Line) -> str:
    return f"{line['stage']}, step {line['step']}"


def _phase(line: Line, name: str) -> float:
    seconds = line.get("seconds")
    return (number(seconds.get(name)) if isinstance(seconds, Mapping) else None) or 0.0


def _parts(line: Line) -> tuple[float, ...]:
    """Seconds of each of PHASES."""
    known = [_phase(line, name) for name in ("wait", "learn", "sync")]
    return (*known, max(0.0, step_seconds(line) - sum(known)))


def _stages(lines: Sequence[Line]) -> str:
    """The means of each stage in words."""
    rows = ""
    for stage in dict.fromkeys(line["stage"] for line in lines):
        own = [line for line in lines if line["stage"] == stage]
        total = fmean(step_seconds(line) for line in own)
        means = [fmean(parts) for parts in zip(*map(_parts, own), strict=True)]
        inside = [fmean(_phase(line, name) for line in own) for name in INSIDE]
        told = "; meanwhile elsewhere ".join(
            filter(None, [_told(PHASES, means), _told(INSIDE, inside)])
        )
        rows += (
            f"<li><b>{escape(stage)}</b> {total:.3g} s a step, {len(own)} steps"
            f'<span class="note">{told}</span></li>'
        )
    return f'<ul class="phases">{rows}</ul>'


def _told(names: Sequence[str], seconds: Sequence[float]) -> str:
    """Those that can be noticed."""
    pairs = zip(names, seconds, strict=True)
    return ", ".join(f"{name} {took:.2g} s" for name, took in pairs if took >= NOTICED_SECONDS)


def _losses(losses: Sequence[Happening], lines: Sequence[Line]) -> str:
    if not losses:
        return '<p class="note">No process was lost.</p>'
    roles = Counter(loss.process.rpartition("-")[0] for loss in losses)
    told = ", ".join(f"{count} {role}" for role, count in roles.most_common())
    ends = _ends(lines)
    rows = "".join(_loss(loss, lines, ends) for loss in losses[:LISTED])
    more = f", the first {LISTED} below" if len(losses) > LISTED else ""
    return (
        f'<p class="note">Processes that were lost: {escape(told)}{more}. What they were doing was '
        "done again by others.</p>"
        '<div class="scroll"><table class="list losses"><thead><tr><th>during</th><th>process</th>'
        f"<th>why</th><th>back after</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _loss(loss: Happening, lines: Sequence[Line], ends: Sequence[float]) -> str:
    place = _place(loss.time, lines, ends)
    during = "the start" if place is None else _label(lines[place])
    back = "-" if loss.back_after is None else duration(loss.back_after)
    cells = (during, loss.process, loss.reason, back)
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _left_out(skipped: Sequence[Line]) -> str:
    if not skipped:
        return '<p class="note">No sample was left out.</p>'
    kinds: dict[str, list[Line]] = {}
    for entry in skipped:
        kinds.setdefault(_sort_of(str(entry.get("reason"))), []).append(entry)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    rows = "".join(_reason(entries) for entries in ordered[:LISTED])
    return (
        f'<p class="note">Samples that were left out: {len(skipped):,}, all of them in '
        "skipped.jsonl.</p>"
        '<div class="scroll"><table class="list"><thead><tr><th>samples</th><th>why, the first '
        f"of them</th><th>question</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _sort_of(reason: str) -> str:
    """A reason without the path and the numbers that tell it from others of its sort."""
    return re.sub(r"\S*/\S*|\d[\d.,]*", "*", reason)


def _reason(entries: Sequence[Mapping[str, Any]]) -> str:
    first = entries[0]
    cells = (f"{len(entries):,}", str(first.get("reason")), str(first.get("question_id")))
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
