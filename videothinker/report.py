"""One self-contained page about a run, and its results as a table for the terminal.

The page is read from the run's files alone, so it can be made during a run, after it, or again
anywhere the folder was copied to. It holds no script and asks for nothing from outside.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from videothinker.charts import Bar, grouped_bars, percent
from videothinker.config import VideoConfig
from videothinker.errors import InputError
from videothinker.report_groups import groups_section
from videothinker.report_style import page
from videothinker.report_training import chip, number, training_section
from videothinker.run import atomic_write, read_lines

Model = Mapping[str, Any]

KINDS = ("observational", "inferential", "overall")
CONTROL = "grpo"
"""Name of a stage that trains without a divergence term, for comparison."""
SPOKEN = {"base": "base model", "bias": "bias model", "cdpo": "CDPO", "grpo": "GRPO"}


def write_report(run: Path) -> Path:
    """Writes RUN/report.html from what the run has left so far, and returns its path."""
    run = Path(run)
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{run}: not a run (no config.yaml in it). Give the folder `videothinker train` wrote."
        )
    config = yaml.safe_load((run / "config.yaml").read_text()) or {}
    summary_file = run / "summary.json"
    summary = json.loads(summary_file.read_text()) if summary_file.is_file() else {}
    metrics = _once(read_lines(run / "metrics.jsonl"))
    models = [model for model in summary.get("models", []) if model.get("evaluation")]
    stages = list(dict.fromkeys(str(line.get("stage")) for line in metrics))
    names = ["base", *(model["name"] for model in summary.get("models", [])), *stages]
    colours = {name: place for place, name in enumerate(dict.fromkeys(names))}
    videos = config.get("data", {}).get("videos")
    name = str(summary.get("name") or config.get("name") or run.name)
    body = (
        f'<div class="kicker">VideoThinker, run {escape(name)}</div>'
        f"<h1>{escape(claim(models, metrics))}</h1>"
        + _results_section(models, colours)
        + training_section(metrics, colours)
        + groups_section(run, stages, Path(videos) if videos else None, _video_config(config))
        + _lineage_section(run, summary)
    )
    atomic_write(run / "report.html", page(name, body))
    return run / "report.html"


def claim(models: Sequence[Model], metrics: Sequence[Mapping[str, Any]]) -> str:
    """What happened, in one sentence; only what was measured."""
    if not models:
        if not metrics:
            return "This run has not finished a step yet."
        last = metrics[-1]
        return f"Not evaluated yet: stage {last.get('stage')} is at step {last.get('step')}."
    first, final = models[0], models[-1]
    if len(models) == 1:
        means = [(kind, _mean(final, kind)) for kind in KINDS[:2]]
        parts = [f"{percent(mean)} of {kind}" for kind, mean in means if mean is not None]
        return f"The {spoken(final)} answers {' and '.join(parts) or 'no'} questions right."
    moves = [_move(first, final, kind) for kind in ("inferential", "observational")]
    known = [move for move in moves if move]
    if not known:
        return f"{spoken(final)} was evaluated on no observational or inferential question."
    subject = spoken(final)
    sentence = f"{known[0][0]} {known[0][1]}"
    for verb, change in known[1:]:
        sentence += f" and {change}" if verb == known[0][0] else f" and {verb} {change}"
    return f"{subject[0].upper()}{subject[1:]} {sentence}{_reached(_control(models))}."


def results_table(models: Sequence[Model]) -> str:
    """Accuracy of each model with its 95% interval, aligned for a terminal."""
    columns = ("observational", "inferential", "overall", "format")
    rows = [["model", *columns, "n"]]
    for model in models:
        evaluation = model.get("evaluation") or {}
        cells = [_cell(evaluation.get(column)) for column in columns]
        count = (evaluation.get("overall") or {}).get("n", 0)
        rows.append([str(model["name"]), *cells, str(count)])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *padded]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[float, float, float]:
    """Second minus first share with a 95% interval (Newcombe), as if of independent samples.

    Both models answered the same questions, so the interval is wider than it needs to be; the
    answers themselves, which would allow a paired one, are not in the summary.
    """
    gap = second["mean"] - first["mean"]
    below = math.hypot(second["mean"] - second["low"], first["high"] - first["mean"])
    above = math.hypot(second["high"] - second["mean"], first["mean"] - first["low"])
    return gap, gap - below, gap + above


def spoken(model: Model) -> str:
    """A model's name as a sentence uses it."""
    return SPOKEN.get(model["name"], str(model["name"]))


def _once(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a step: a step replayed after a crash counts with its last line."""
    latest = {(line.get("stage"), line.get("step")): line for line in lines}
    return list(latest.values())


def _video_config(config: Mapping[str, Any]) -> VideoConfig:
    try:
        return VideoConfig.model_validate(config.get("video") or {})
    except ValidationError:
        return VideoConfig()  # a run of another version: its pictures may differ, its page not fail


def _mean(model: Model, kind: str) -> float | None:
    return number((model["evaluation"].get(kind) or {}).get("mean"))


def _move(first: Model, final: Model, kind: str) -> tuple[str, str] | None:
    before, after = _mean(first, kind), _mean(final, kind)
    if before is None or after is None:
        return None
    if percent(before) == percent(after):
        return "left", f"{kind} accuracy at {percent(after)}"
    verb = "raised" if after > before else "lowered"
    return verb, f"{kind} accuracy from {percent(before)} to {percent(after)}"


def _control(models: Sequence[Model]) -> Model | None:
    """The model to hold the last one against, where a run has it."""
    return next((model for model in models[1:-1] if model["name"] == CONTROL), None)


def _reached(control: Model | None) -> str:
    """What training without the divergence term reached, as the end of a sentence."""
    means = [_mean(control, kind) for kind in ("inferential", "observational")] if control else []
    reached = " and ".join(percent(mean) for mean in means if mean is not None)
    return f"; plain {spoken(control)} reached {reached}" if control and reached else ""


def _cell(estimate: Mapping[str, Any] | None) -> str:
    if not estimate or estimate.get("mean") is None:
        return "-"
    mean, low, high = (100 * estimate[key] for key in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _results_section(models: Sequence[Model], colours: Mapping[str, int]) -> str:
    if not models:
        return ""
    counts = [(kind, (models[-1]["evaluation"].get(kind) or {}).get("n", 0)) for kind in KINDS]
    groups = [
        (
            kind,
            [bar for model in models if (bar := _bar(model, kind, colours[model["name"]]))],
        )
        for kind, count in counts
        if count
    ]
    summary = "Accuracy by kind of question and model: " + results_table(models)
    legend = "".join(chip(spoken(model), colours[model["name"]]) for model in models)
    sizes = ", ".join(f"{count} {kind}" for kind, count in counts)
    return (
        f'<p class="note">{_verdict(models)} Observational questions are answered by the video '
        "alone; inferential ones only by thinking the removal through.</p>"
        f'<div class="legend">{legend}</div>'
        f'<div class="wide">{grouped_bars(groups, 980, 330, summary)}</div>'
        f'<div class="narrow">{grouped_bars(groups, 358, 270, summary)}</div>'
        f'<p class="note">Share of questions with exactly the correct letters, with 95% Wilson '
        f"intervals; {sizes}.</p>{_html_table(models)}"
    )


def _bar(model: Model, kind: str, index: int) -> Bar | None:
    estimate = model["evaluation"].get(kind) or {}
    if estimate.get("mean") is None:
        return None
    return Bar(
        label=f"{spoken(model)}, {kind}",
        mean=estimate["mean"],
        low=estimate["low"],
        high=estimate["high"],
        colour=index,
    )


def _verdict(models: Sequence[Model]) -> str:
    """Whether the inferential change is more than the questions' sampling noise."""
    if len(models) < 2 or None in (
        _mean(models[0], "inferential"),
        _mean(models[-1], "inferential"),
    ):
        return ""
    ends = [model["evaluation"]["inferential"] for model in (models[0], models[-1])]
    gap, low, high = (100 * value for value in difference(*ends))
    meaning = (
        "this run alone does not show a change."
        if low <= 0 <= high
        else "more than the choice of questions explains."
    )
    return (
        f"Inferential change: {gap:+.0f} points (95% interval {low:+.0f} to {high:+.0f}, "
        f"{ends[1]['n']} questions, one seed): {meaning}{_verdict_on_control(models)}"
    )


def _verdict_on_control(models: Sequence[Model]) -> str:
    """How the last model differs from the control, and what one run cannot say about that."""
    control = _control(models)
    if control is None or _mean(control, "inferential") is None:
        return ""
    ends = [model["evaluation"]["inferential"] for model in (control, models[-1])]
    gap, low, high = (100 * value for value in difference(*ends))
    meaning = "no more" if low <= 0 <= high else "more"
    return (
        f" Against plain GRPO: {gap:+.0f} points ({low:+.0f} to {high:+.0f}), {meaning} than the "
        "choice of questions explains; the seed of the training is not in that interval."
    )


def _html_table(models: Sequence[Model]) -> str:
    columns = (*KINDS, "format")
    head = "".join(f"<th>{column}</th>" for column in ("model", *columns, "gap"))
    rows = ""
    for model in models:
        evaluation = model["evaluation"]
        cells = "".join(f"<td>{_html_cell(evaluation.get(column))}</td>" for column in columns)
        gap = number(evaluation.get("shortcut_gap"))
        shown = "-" if gap is None else f"{100 * gap:+.1f}"
        rows += f"<tr><td>{escape(spoken(model))}</td>{cells}<td>{shown}</td></tr>"
    return (
        '<div class="scroll"><table class="results">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        '<p class="note">Percent. Gap: observational minus inferential, the shortcut gap.</p>'
    )


def _html_cell(estimate: Mapping[str, Any] | None) -> str:
    mean, _, interval = _cell(estimate).partition(" ")
    bounds = interval.strip("[]").replace(", ", " to ")
    return f"{mean}<small>{bounds}</small>" if bounds else mean


def _lineage_section(run: Path, summary: Mapping[str, Any]) -> str:
    rows = [("started", _moment(summary.get("started")))]
    rows += [("finished", _moment(summary.get("finished")))]
    for model in summary.get("models", []):
        rows.append((f"model {model.get('name')}", _identity(model)))
    for stage in summary.get("stages", []):
        kl = ", ".join(f"{key} {value}" for key, value in (stage.get("kl") or {}).items())
        rows.append((f"stage {stage.get('name')}", f"{stage.get('steps')} steps, {kl or 'no KL'}"))
        if stage.get("anchor"):
            rows.append((f"anchor of {stage.get('name')}", _identity(stage["anchor"])))
    skipped = read_lines(run / "skipped.jsonl")
    rows.append(("samples left out", f"{len(skipped)}{' (skipped.jsonl)' if skipped else ''}"))
    cells = "".join(
        f"<tr><td>{escape(str(key))}</td><td><code>{escape(value)}</code></td></tr>"
        for key, value in rows
        if value
    )
    config = escape((run / "config.yaml").read_text())
    return (
        f'<h2>Lineage</h2><table class="lineage"><tbody>{cells}</tbody></table>'
        f"<details><summary>Full configuration</summary><pre>{config}</pre></details>"
    )


def _identity(artifact: Mapping[str, Any]) -> str:
    return "  ".join(str(artifact[key]) for key in ("path", "digest") if artifact.get(key))


def _moment(value: object) -> str:
    seconds = number(value)
    if seconds is None:
        return str(value or "")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
