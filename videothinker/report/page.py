"""One self-contained page about a run, readable by somebody who has never heard of it.

The page is read from the run's files alone, so it can be made during a run, after it, or again
anywhere the folder was copied to. It holds no script and asks for nothing from outside.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from html import escape
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.files import atomic_write
from videothinker.report.answers import answers_section
from videothinker.report.groups import Pictures, groups_section
from videothinker.report.results import (
    claim,
    evaluated,
    lead,
    results_section,
    results_table,
    verdict,
)
from videothinker.report.stills import Stills
from videothinker.report.style import page
from videothinker.report.timeline import mishaps_section, timeline_section
from videothinker.report.training import training_section
from videothinker.status.life import Life, life
from videothinker.status.snapshot import Line, Snapshot, number, read_snapshot, records

__all__ = ["results_table", "write_report"]


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from what the run has left so far, and returns its path."""
    snapshot = read_snapshot(run)
    models = evaluated(snapshot)
    stages = list(dict.fromkeys(line["stage"] for line in snapshot.metrics))
    made = [str(model.get("name")) for model in records(snapshot.summary.get("models"))]
    names = dict.fromkeys(["base", *made, *stages])
    colours = {name: place for place, name in enumerate(names)}
    with _pictures(snapshot.config) as pictures:
        answers = answers_section(snapshot, pictures, colours)
        groups = groups_section(snapshot.path, stages[::-1], pictures)
    body = (
        _head(snapshot, models)
        + results_section(models, colours)
        + answers
        + groups
        + training_section(snapshot.metrics, colours)
        + timeline_section(snapshot)
        + mishaps_section(snapshot)
        + _lineage_section(snapshot)
    )
    target = snapshot.path / "report.html"
    atomic_write(target, page(snapshot.name, body))
    return target


def _head(run: Snapshot, models: list[Mapping[str, Any]]) -> str:
    """What a reader sees first: what happened, and whether it has ended."""
    state = life(run)
    headline = claim(models) or _so_far(run, state)
    written = f"page written {_moment(run.now)}"
    kicker = f"VideoThinker, run {run.name}: {state.words}{_progress(run, state)}; {written}"
    paragraph, doubt = lead(run, models), verdict(models)
    return (
        f'<div class="kicker">{escape(kicker)}</div><h1>{escape(headline)}</h1>'
        + (f'<p class="lead">{escape(paragraph)}</p>' if paragraph else "")
        + (f'<p class="note">{escape(doubt)}</p>' if doubt else "")
        + (f'<p class="alert">{escape(state.remark)}</p>' if state.remark else "")
    )


def _progress(run: Snapshot, state: Life) -> str:
    stages = run.stages
    if state.over or not stages:
        return ""
    return f" ({', '.join(f'{stage.name} {stage.done} of {stage.steps}' for stage in stages)})"


def _so_far(run: Snapshot, state: Life) -> str:
    """The headline of a run whose models have not been put to any question yet."""
    if not run.metrics:
        return "This run has not finished a step yet."
    last = run.metrics[-1]
    until = ("Not evaluated", "came to") if state.over else ("Not evaluated yet", "is at")
    where = f"{until[0]}: stage {last['stage']} {until[1]} step {last['step']}"
    first = next(line for line in run.metrics if line["stage"] == last["stage"])
    before, now = number(first.get("reward")), number(last.get("reward"))
    if before is None or now is None or first is last:
        return f"{where}."
    return f"{where}, its answers earn {now:.2f} on average, {before:.2f} at first."


@contextmanager
def _pictures(config: Line) -> Iterator[Pictures]:
    """Of the run's videos; none for a run of another version, whose page must not fail."""
    try:
        data = DataConfig.model_validate(config.get("data"))
        video = VideoConfig.model_validate(config.get("video") or {})
    except ValidationError:
        yield lambda _: []
        return
    with closing(Stills(data, video)) as stills:
        yield stills.of


def _lineage_section(run: Snapshot) -> str:
    summary = run.summary
    rows = [("started", _moment(summary.get("started")))]
    rows += [("finished", _moment(summary.get("finished")))]
    for model in records(summary.get("models")):
        rows.append((f"model {model.get('name')}", _identity(model)))
    for stage in records(summary.get("stages")):
        kl = ", ".join(f"{key} {value}" for key, value in (stage.get("kl") or {}).items())
        rows.append((f"stage {stage.get('name')}", f"{stage.get('steps')} steps, {kl or 'no KL'}"))
        if stage.get("anchor"):
            rows.append((f"anchor of {stage.get('name')}", _identity(stage["anchor"])))
    cells = "".join(
        f"<tr><td>{escape(str(key))}</td><td><code>{escape(value)}</code></td></tr>"
        for key, value in rows
        if value
    )
    return (
        '<h2>Where it comes from</h2><p class="note">Models and data by path and content.</p>'
        f'<table class="lineage"><tbody>{cells}</tbody></table>{_configuration(run)}'
    )


def _configuration(run: Snapshot) -> str:
    file = run.path / "config.yaml"
    text = file.read_text(errors="replace") if file.is_file() else ""
    return f"<details><summary>Full configuration</summary><pre>{escape(text)}</pre></details>"


def _identity(artifact: Mapping[str, Any]) -> str:
    return "  ".join(str(artifact[key]) for key in ("path", "digest") if artifact.get(key))


def _moment(value: object) -> str:
    seconds = number(value)
    if seconds is None:
        return str(value or "")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
