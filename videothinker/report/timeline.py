"""The report's part about time and mishaps: each step's phases, who was lost, what was left out."""

from __future__ import annotations

import re
from bisect import bisect, bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from videothinker.progress import duration
from videothinker.report.charts import Mark, Slice, stacked_steps
from videothinker.status.roles import SCALED_AS, rate, roles_of
from videothinker.status.snapshot import Fields, Snapshot, number
from videothinker.status.speed import step_seconds

PHASES = ("waiting for samples", "learning", "weights to the engines", "the rest")
"""What the driver does in a step, one after the other; together they are the step."""
INSIDE = ("prepare", "generate", "score")
"""What happens elsewhere while the driver waits."""
TELLING = {"lost": "lost", "joined": "more workers", "left": "fewer workers", "resumed": "resumed"}
GONE = ("lost", "left", "released")
"""A process that is no more; the last served its stage, and another is started for the next."""
NOTICED_SECONDS = 0.005
DEVICE_FIGURES: dict[str, tuple[str, Callable[[list[float]], float], Callable[[float], str]]] = {
    "GB at its peak": ("memory_peak_gb", max, "{:.3g}".format),
    "card busy": ("utilisation", fmean, "{:.0%}".format),
    "threads": ("threads", max, "{:.0f}".format),
    "tokens/s": ("tokens_per_second", fmean, rate),
    "MFU": ("mfu", fmean, "{:.0%}".format),
}
"""Title -> key of a role's figures, what of a stage's steps is shown, and how."""
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


def timeline_part(run: Snapshot) -> dict[str, object] | None:
    """Seconds of each step by phase over the whole run, with what happened to its processes; None
    where no step has a time.
    """
    lines = [line for line in run.metrics if step_seconds(line)]
    if not lines:
        return None
    ends = _ends(lines)
    marks = _marks(happenings(run.events, ends), lines, ends)
    slices = [Slice(label=_label(line), group=line["stage"], parts=_parts(line)) for line in lines]
    kinds = dict.fromkeys(mark.kind for mark in marks)
    return {
        "phases": PHASES,
        "signs": [(kind, TELLING[kind]) for kind in kinds],
        "wide": stacked_steps(slices, marks, 980, 270),
        "narrow": stacked_steps(slices, marks, 358, 240),
        "stages": _stages(lines),
        "devices": _devices(lines),
        "sync": _mean(lines, "sync_gb_per_second"),
    }


def mishaps_part(run: Snapshot) -> dict[str, object]:
    """Processes that were lost, and samples that were left out, each with its reason."""
    losses = [event for event in happenings(run.events, ()) if event.kind == "lost"]
    roles = Counter(loss.process.rpartition("-")[0] for loss in losses)
    ends = _ends(run.metrics)
    return {
        "roles": ", ".join(f"{count} {role}" for role, count in roles.most_common()),
        "losses": [_loss(loss, run.metrics, ends) for loss in losses[:LISTED]],
        "more_losses_than": LISTED if len(losses) > LISTED else 0,
        "left_out": len(run.skipped),
        "reasons": _reasons(run.skipped),
    }


def happenings(events: Sequence[Fields], ends: Sequence[float]) -> list[Happening]:
    """Losses, scalings and resumptions, in order; a first start and a replacement are neither.

    `ends`: when steps ended. Whoever starts before the first step that a driver makes was always to
    start.
    """
    present: set[str] = set()
    missing: set[str] = set()
    resumed = float("-inf")
    found: list[Happening] = []
    again = _again(events)
    for place, event in enumerate(events):
        moment, process = number(event.get("time")), str(event.get("process"))
        kind = _kind(event, process in present, process in missing)
        if moment is None or kind is None:
            continue
        if kind == "resumed":
            present, missing, resumed = set(), set(), moment
        (missing.add if kind in ("lost", "released") else missing.discard)(process)
        (present.discard if kind in GONE else present.add)(process)
        planned = kind == "joined" and bisect(ends, moment) == bisect(ends, resumed)
        if kind not in ("replaced", "released") and not planned:
            reason = str(event.get("reason") or "").removeprefix(f"{process}, ")
            start = again[place] if kind == "lost" else None
            back = None if start is None else start - moment
            one = Happening(kind=kind, time=moment, process=process, reason=reason, back_after=back)
            found.append(one)
    return found


def _kind(event: Fields, present: bool, missing: bool) -> str | None:
    """A process that starts though nobody missed it was started by another driver."""
    said = str(event.get("event"))
    if said == "started":
        return "replaced" if missing else "resumed" if present else "joined"
    return said if said in GONE else None


def _again(events: Sequence[Fields]) -> list[float | None]:
    """Of each event, when its process next started."""
    starts: dict[str, float | None] = {}
    found: list[float | None] = []
    for event in reversed(events):
        process = str(event.get("process"))
        found.append(starts.get(process))
        if event.get("event") == "started":
            starts[process] = number(event.get("time"))
    return found[::-1]


def _marks(
    found: Sequence[Happening], lines: Sequence[Fields], ends: Sequence[float]
) -> list[Mark]:
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


def _place(moment: float, lines: Sequence[Fields], ends: Sequence[float]) -> int | None:
    """The step during which something happened, or the last one, if that was already done."""
    if not ends or moment < ends[0] - step_seconds(lines[0]):
        return None
    return min(bisect_left(ends, moment), len(lines) - 1)


def _ends(lines: Sequence[Fields]) -> list[float]:
    """When each step ended; nothing where a line does not say, as those of older versions."""
    ends = [number(line.get("time")) for line in lines]
    known = [end for end in ends if end is not None]
    return known if len(known) == len(ends) else []


def _label(line: Fields) -> str:
    return f"{line['stage']}, step {line['step']}"


def _parts(line: Fields) -> tuple[float, ...]:
    """Seconds of each of PHASES."""
    known = [step_seconds(line, name) for name in ("wait", "learn", "sync")]
    return (*known, max(0.0, step_seconds(line) - sum(known)))


def _stages(lines: Sequence[Fields]) -> list[dict[str, object]]:
    """The means of each stage, and in words what they consist of."""
    found = []
    for stage in dict.fromkeys(line["stage"] for line in lines):
        own = [line for line in lines if line["stage"] == stage]
        means = [fmean(parts) for parts in zip(*map(_parts, own), strict=True)]
        inside = [fmean(step_seconds(line, name) for line in own) for name in INSIDE]
        told = filter(None, [_told(PHASES, means), _told(INSIDE, inside)])
        found.append(
            {
                "name": stage,
                "seconds": f"{fmean(step_seconds(line) for line in own):.3g}",
                "steps": own[-1]["step"],
                "told": "; meanwhile elsewhere ".join(told),
            }
        )
    return found


def _devices(lines: Sequence[Fields]) -> tuple[list[str], list[list[str]]] | None:
    """Titles and a row for each stage and role, without what nobody knows; None where nobody
    looked, as in runs of older versions.
    """
    titles, rows = ["stage", "role", *DEVICE_FIGURES], []
    for stage in dict.fromkeys(line["stage"] for line in lines):
        own = [roles_of(line) for line in lines if line["stage"] == stage]
        for role in dict.fromkeys(role for roles in own for role in roles):
            steps = [roles[role] for roles in own if role in roles]
            rows.append([stage, SCALED_AS.get(role, role), *_device_figures(steps)])
    known = [place for place, cells in enumerate(zip(*rows, strict=True)) if {*cells} != {"-"}]
    if not known:
        return None
    return [titles[place] for place in known], [[row[place] for place in known] for row in rows]


def _device_figures(steps: Sequence[Fields]) -> Iterator[str]:
    """Of one role, over its steps."""
    for key, summary, shown in DEVICE_FIGURES.values():
        values = [value for one in steps if (value := number(one.get(key))) is not None]
        yield shown(summary(values)) if values else "-"


def _mean(lines: Sequence[Fields], key: str) -> str:
    values = [value for line in lines if (value := number(line.get(key))) is not None]
    return f"{fmean(values):.3g}" if values else ""


def _told(names: Sequence[str], seconds: Sequence[float]) -> str:
    """Those that can be noticed."""
    pairs = zip(names, seconds, strict=True)
    return ", ".join(f"{name} {took:.2g} s" for name, took in pairs if took >= NOTICED_SECONDS)


def _loss(loss: Happening, lines: Sequence[Fields], ends: Sequence[float]) -> tuple[str, ...]:
    """During what, who, why, and how long it took until there was another."""
    place = _place(loss.time, lines, ends)
    during = "the start" if place is None else _label(lines[place])
    back = "-" if loss.back_after is None else duration(loss.back_after)
    return during, loss.process, loss.reason, back


def _reasons(skipped: Sequence[Fields]) -> list[tuple[str, ...]]:
    """How many samples of each sort of reason were left out, and the first of them."""
    kinds: dict[str, list[Fields]] = {}
    for entry in skipped:
        kinds.setdefault(_sort_of(str(entry.get("reason"))), []).append(entry)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    return [
        (f"{len(entries):,}", str(entries[0].get("reason")), str(entries[0].get("question_id")))
        for entries in ordered[:LISTED]
    ]


def _sort_of(reason: str) -> str:
    """A reason without the path and the numbers that tell it from others of its sort."""
    return re.sub(r"\S*/\S*|\d[\d.,]*", "*", reason)
