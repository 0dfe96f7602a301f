"""One screen about a run: how far it is, how fast, who works, what it earns, what it says.

Pure: a snapshot in, lines out. Every line passes `visible` and is clipped to the width, so nothing
that a model or a data file says can act on the terminal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size

from videothinker.progress import duration
from videothinker.status.drawn import drawn_words
from videothinker.status.latest_group import LatestGroup
from videothinker.status.life import Life
from videothinker.status.roles import SCALED_AS, roles_of, told
from videothinker.status.snapshot import Snapshot, Stage, number, whole
from videothinker.status.speed import Speed, pace
from videothinker.terminal_text import clip, text_table, visible, wrap

CURVES = (
    ("reward", "reward", False),
    ("observational", "observational_accuracy", True),
    ("inferential", "inferential_accuracy", True),
    ("divergence", "kl", False),
)
"""Name on the screen, key of metrics.jsonl, and whether it is a share."""
LABEL = 15
"""Columns of a row's name."""
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "._-~=+*#"
STAGES_SHOWN = 4
ANSWER_LINES = 2
REMARK_LINES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Screen:
    """What a terminal can show."""

    width: int = 80
    height: int | None = None
    """None where lines scroll, so that all of them may be written."""
    plain: bool = False
    """Whether it can only show ASCII."""


def screen(run: Snapshot, life: Life, group: LatestGroup | None, size: Screen) -> list[str]:
    """The lines of one screen; a short one leaves out what matters least."""
    parts = (
        _head(run, life, size),
        wrap(visible(life.remark), size.width, REMARK_LINES) if life.remark else [],
        _stages(run, life, size),
        _figures(run, life),
        _curves(run, size),
        _group(group, size),
    )
    shown = [[_shown(line, size) for line in part] for part in parts]
    lines = [line for part in shown if part for line in ("", *part)][1:]
    if size.height is not None and len(lines) > size.height:
        lines = [line for part in shown for line in part][: size.height]
    return lines


def as_dict(run: Snapshot, life: Life, group: LatestGroup | None) -> dict[str, Any]:
    """All of it as data: what status.json says, and what the other files add."""
    speed = pace(run)
    recent = run.metrics[-20:]
    return {
        **run.status,
        "alive": life.alive,
        "words": life.words,
        "remark": life.remark,
        "quiet_seconds": max(0.0, run.now - run.last_word),
        "stages": [asdict(stage) for stage in run.stages],
        "pace": asdict(speed) if speed else None,
        "workers": workers(run),
        "roles": roles_of(run.metrics[-1]) if run.metrics else {},
        "sync_gb_per_second": run.metrics[-1].get("sync_gb_per_second") if run.metrics else None,
        "validations": list(run.validations[-20:]),
        "recent": {key: [number(line.get(key)) for line in recent] for _, key, _ in CURVES},
        "left_out": dict(Counter(str(entry.get("reason")) for entry in run.skipped)),
        "events": list(run.events[-20:]),
        "group": asdict(group) if group else None,
        "unreadable": list(run.unreadable),
    }


def workers(run: Snapshot) -> dict[str, dict[str, int]]:
    """By role, how many serve metrics and how many were ever lost."""
    present = Counter(
        str(target["labels"].get("role"))
        for target in run.targets
        if isinstance(target.get("labels"), dict)
    )
    lost = run.status.get("restarts")
    lost = lost if isinstance(lost, dict) else {}
    return {
        role: {"present": present[role], "lost": whole(lost.get(role))}
        for role in dict.fromkeys([*present, *lost])
    }


def spark(values: Sequence[float | None], low: float, high: float, plain: bool = False) -> str:
    """One character a value, from the lowest to the highest; a blank where there is none."""
    signs = PLAIN_BARS if plain else BARS
    span = high - low
    return "".join(
        " "
        if value is None
        else signs[min(7, max(0, int(8 * (value - low) / span) if span > 0 else 0))]
        for value in values
    )


def _head(run: Snapshot, life: Life, size: Screen) -> list[str]:
    clock = time.strftime("%H:%M:%S", time.localtime(run.now))
    room = size.width - len(clock) - 2
    title = clip(visible(f"{run.name}: {life.words}"), room)
    lines = [set_cell_size(title, room + 2) + clock]
    if run.unreadable:
        lines.append(f"not readable: {', '.join(run.unreadable)}")
    return lines


def _stages(run: Snapshot, life: Life, size: Screen) -> list[str]:
    stages = run.stages
    current = next((n for n, stage in enumerate(stages) if stage.state != "done"), len(stages))
    first = max(0, min(current - 1, len(stages) - STAGES_SHOWN))
    shown = stages[first : first + STAGES_SHOWN]
    names = [clip(visible(stage.name), LABEL) for stage in shown]
    bar = max(8, min(60, size.width - max(map(cell_len, names), default=0) - 34))
    words = {"current": "stopped here" if life.over else "now"}
    rows = [
        (
            name,
            _bar(stage, bar, size.plain),
            f"{stage.done}/{stage.steps}",
            words.get(stage.state, stage.state),
        )
        for name, stage in zip(names, shown, strict=True)
    ]
    lines = text_table(rows, right=[2]).splitlines()
    hidden = len(stages) - len(shown)
    return [*lines, f"and {hidden} more stages"] if hidden else lines


def _bar(stage: Stage, width: int, plain: bool) -> str:
    full, empty = ("#", "-") if plain else ("█", "░")
    filled = int(width * stage.done / stage.steps) if stage.steps else 0
    return full * filled + empty * (width - filled)


def _figures(run: Snapshot, life: Life) -> list[str]:
    speed = None if life.over else pace(run)
    rows = [
        *_speed(speed),
        ("workers", _workers(run, life)),
        *_roles(run, life),
        ("last lost", _lost(run)),
        ("weights", _weights(run)),
        ("validation", _validation(run)),
        ("draws", _draws(run)),
        ("guard", _guard(run)),
        ("damaged", _damaged(run)),
        ("left out", _left_out(run)),
    ]
    return [_row(label, text) for label, text in rows if text]


def _speed(speed: Speed | None) -> list[tuple[str, str]]:
    if speed is None:
        return []
    rate = (
        f"{speed.steps_per_minute:.3g} steps/min, {speed.samples_per_second:.3g} samples/s, "
        f"{speed.tokens_per_second:.3g} tokens/s"
    )
    left = f"about {duration(speed.stage_seconds_left)} for this stage"
    if speed.run_seconds_left > speed.stage_seconds_left:
        left += f", {duration(speed.run_seconds_left)} for the run"
    return [("rate", rate), ("left", left)]


def _workers(run: Snapshot, life: Life) -> str:
    if life.over:
        return ""
    return ", ".join(
        f"{SCALED_AS.get(role, role)} {counts['present']}"
        + (f" ({counts['lost']} lost)" if counts["lost"] else "")
        for role, counts in workers(run).items()
        if role != "driver"
    )


def _roles(run: Snapshot, life: Life) -> list[tuple[str, str]]:
    """Who holds a device, as its process said last before the newest step."""
    if life.over or not run.metrics:
        return []
    roles = roles_of(run.metrics[-1])
    return [(SCALED_AS.get(role, role), told(figures)) for role, figures in roles.items()]


def _lost(run: Snapshot) -> str:
    """The last process that was lost, and whether somebody has its place."""
    places = [place for place, event in enumerate(run.events) if event.get("event") == "lost"]
    if not places:
        return ""
    last, later = run.events[places[-1]], run.events[places[-1] + 1 :]
    moment, process = number(last.get("time")), str(last.get("process"))
    clock = time.strftime("%H:%M", time.localtime(moment)) if moment else ""
    back = any(e.get("event") == "started" and e.get("process") == process for e in later)
    state = "replaced" if back else "not replaced yet"
    reason = str(last.get("reason") or "").removeprefix(f"{process}, ")
    return f"{clock} {process}, {state}: {reason}"


def _weights(run: Snapshot) -> str:
    version = run.status.get("weights_version")
    newest = run.metrics[-1] if run.metrics else {}
    coefficient, sync = (number(newest.get(key)) for key in ("coefficient", "sync_gb_per_second"))
    known = [f"version {version}"] if version is not None else []
    known += [f"{sync:.3g} GB/s to an engine"] if sync is not None else []
    known += [f"coefficient of the divergence {coefficient:.3g}"] if coefficient is not None else []
    return ", ".join(known)


def _validation(run: Snapshot) -> str:
    """What the newest one found."""
    if not run.validations:
        return ""
    last = run.validations[-1]
    shares = [
        f"{kind} {mean:.0%}"
        for kind in ("observational", "inferential", "overall")
        if (mean := number((last.get(kind) or {}).get("mean"))) is not None
    ]
    return f"after step {whole(last['step'])} of {last['stage']}: {', '.join(shares)}"


def _guard(run: Snapshot) -> str:
    guard = run.status.get("guard")
    if not isinstance(guard, Mapping) or run.state == "failed":
        return ""
    return f"{guard.get('action')} at step {guard.get('step')}: {guard.get('cause')}"


def _damaged(run: Snapshot) -> str:
    """States that nobody can go on from: the last one written so, and those that were passed over
    when the run went on."""
    passed_over = run.status.get("passed_over")
    found = [run.status.get("damaged"), *(passed_over if isinstance(passed_over, list) else ())]
    told = [f"{one.get('state')}: {one.get('reason')}" for one in found if isinstance(one, Mapping)]
    return "; ".join(dict.fromkeys(told))


def _draws(run: Snapshot) -> str:
    """Of the stage under way, where its questions are not all drawn alike."""
    draw = run.status.get("draw")
    if not isinstance(draw, Mapping) or draw.get("stage") != run.status.get("stage"):
        return ""
    lines = [line for line in run.metrics if line["stage"] == draw["stage"]]
    return drawn_words(draw, lines)


def _left_out(run: Snapshot) -> str:
    if not run.skipped:
        return ""
    return f"{len(run.skipped):,} samples, the last: {run.skipped[-1].get('reason')}"


def _curves(run: Snapshot, size: Screen) -> list[str]:
    if not run.metrics:
        return []
    stage = run.metrics[-1]["stage"]
    room = max(10, min(60, size.width - LABEL - 26))
    lines = [line for line in run.metrics if line["stage"] == stage][-room:]
    drawn = [_curve(title, key, share, lines, size) for title, key, share in CURVES]
    return [line for line in drawn if line]


def _curve(
    title: str, key: str, share: bool, lines: Sequence[Mapping[str, Any]], size: Screen
) -> str:
    values = [number(line.get(key)) for line in lines]
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = (0.0, 1.0) if share else (min(known), max(known))
    latest = f"{known[-1]:.0%}" if share else f"{known[-1]:.3g}"
    note = "" if share else f"  {low:.3g} to {high:.3g}"
    return _row(title, f"{latest:>6}  {spark(values, low, high, size.plain)}{note}")


def _group(group: LatestGroup | None, size: Screen) -> list[str]:
    if group is None:
        return []
    kind = f"{group.category}, " if group.category else ""
    asked = f"{group.question} ({kind}right: {group.answer})"
    lines = _wrapped(f"step {group.step}", asked, ANSWER_LINES, size)
    for label, answer in (("right", group.right), ("wrong", group.wrong)):
        if answer is not None:
            said = answer.text or "(nothing)"
            lines += _wrapped(f"{label} {answer.reward:+.2f}", said, ANSWER_LINES, size)
    return lines


def _wrapped(label: str, text: str, most: int, size: Screen) -> list[str]:
    first, *rest = wrap(visible(text), max(10, size.width - LABEL), most)
    return [_row(label, first), *(_row("", line) for line in rest)]


def _row(label: str, text: str) -> str:
    return f"{label:<{LABEL}}{text}"


def _shown(line: str, size: Screen) -> str:
    safe = visible(line)
    if size.plain:
        safe = safe.encode("ascii", "backslashreplace").decode()
    return clip(safe, size.width).rstrip().replace("…", "~" if size.plain else "…")
