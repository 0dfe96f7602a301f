"""One self-contained page about a run, readable by somebody who has never heard of it.

The page is read from the run's files alone, so it can be made during a run, after it, or again
anywhere the folder was copied to. It holds no script and asks for nothing from outside.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.files import atomic_write
from videothinker.report.groups import groups_part
from videothinker.report.markup import render
from videothinker.report.outcomes import answers_part
from videothinker.report.results import claim, evaluated, lead, results_part, spoken, verdict
from videothinker.report.stills import Pictures, stills_of
from videothinker.report.timeline import mishaps_part, timeline_part
from videothinker.report.training import training_part
from videothinker.status.life import Life, life
from videothinker.status.snapshot import Fields, Snapshot, number, read_snapshot, records


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from what the run has left so far, and returns its path."""
    snapshot = read_snapshot(run)
    models = evaluated(snapshot)
    stages = list(dict.fromkeys(line["stage"] for line in snapshot.metrics))
    made = [str(model.get("name")) for model in records(snapshot.summary.get("models"))]
    names = dict.fromkeys(["base", *made, *stages])
    colours = {name: place for place, name in enumerate(names)}
    with _pictures(snapshot.config) as pictures:
        answers = answers_part(snapshot, pictures)
        groups = groups_part(snapshot.path, stages[::-1], pictures)
    page = render(
        "page.html",
        title=snapshot.name,
        colours=colours,
        spoken=spoken,
        head=_head(snapshot, models),
        results=results_part(models, colours),
        answers=answers,
        groups=groups,
        every=snapshot.every,
        training=training_part(snapshot.metrics, colours, snapshot.summary.get("draws")),
        timeline=timeline_part(snapshot),
        mishaps=mishaps_part(snapshot),
        origins=_origins(snapshot.summary),
        configuration=_configuration(snapshot),
    )
    target = snapshot.path / "report.html"
    atomic_write(target, page)
    return target


def _head(run: Snapshot, models: list[Mapping[str, Any]]) -> dict[str, str]:
    """What a reader sees first: what happened, and whether it has ended."""
    state = life(run)
    written = f"page written {_moment(run.now)}"
    return {
        "kicker": f"VideoThinker, run {run.name}: {state.words}{_progress(run, state)}; {written}",
        "headline": claim(models) or _so_far(run, state),
        "lead": lead(run, models),
        "doubt": verdict(models),
        "remark": state.remark,
    }


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
def _pictures(config: Fields) -> Iterator[Pictures]:
    """Of the run's videos; none for a run of another version, whose page must not fail."""
    try:
        data = DataConfig.model_validate(config.get("data"))
        video = VideoConfig.model_validate(config.get("video") or {})
    except ValidationError:
        yield lambda *_: []
        return
    model = config.get("model") or {}
    with stills_of(data, video, Path(str(model.get("path")))) as pictures:
        yield pictures


def _origins(summary: Fields) -> list[tuple[str, str]]:
    """Times, models and stages by what they came from."""
    rows = [(name, _moment(summary.get(name))) for name in ("started", "finished")]
    for model in records(summary.get("models")):
        rows.append((f"model {model.get('name')}", _identity(model)))
    for stage in records(summary.get("stages")):
        kl = ", ".join(f"{key} {value}" for key, value in (stage.get("kl") or {}).items())
        rows.append((f"stage {stage.get('name')}", f"{stage.get('steps')} steps, {kl or 'no KL'}"))
        if stage.get("anchor"):
            rows.append((f"anchor of {stage.get('name')}", _identity(stage["anchor"])))
    return [(name, value) for name, value in rows if value]


def _configuration(run: Snapshot) -> str:
    file = run.path / "config.yaml"
    return file.read_text(errors="replace") if file.is_file() else ""


def _identity(artifact: Mapping[str, Any]) -> str:
    return "  ".join(str(artifact[key]) for key in ("hub", "path", "digest") if artifact.get(key))


def _moment(value: object) -> str:
    seconds = number(value)
    if seconds is None:
        return str(value or "")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
