"""The report's first part: what the training did, in one sentence that needs no other; then as a
chart and a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from videothinker.evaluation.intervals import difference
from videothinker.report.charts import Bar, grouped_bars, percent
from videothinker.status.snapshot import Fields, Snapshot, number, records
from videothinker.terminal_text import text_table

Model = Fields

SHOWN = ("observational", "inferential", "overall", "format")
CONTROL = "grpo"
"""Name of a stage that trains without a divergence term, for comparison."""
SPOKEN = {"base": "base model", "bias": "bias model", "cdpo": "CDPO", "grpo": "GRPO"}
KIND_TITLES = {
    "inferential": "thinking",
    "observational": "only looking",
    "overall": "all questions",
}
NEEDS = {"inferential": "need thinking", "observational": "only need looking"}
"""Kinds of questions in words that need no glossary."""
LEARNING = "reinforcement learning on the model's own answers"
MANNERS = {
    "repel": " that also pushes the model away from {}",
    "attract": " that also holds the model near {}",
    "discount": ", where right answers count less that {} was taught to give",
    "tie_break": ", where right answers earn less the likelier they are to {}",
    "reweigh": ", where questions count less that {} gets right",
    "unlikely": ", where right answers earn less the likelier the model itself finds them",
    "product": ", in which what {} would have said already is not pushed",
}
ANCHORS = {
    "bias": "a copy that was trained to answer by looking alone, the bias model",
    "base": "the model it started from",
}
"""A stage's KL settings in words for somebody who has never heard of them."""


def evaluated(run: Snapshot) -> list[Model]:
    """The run's models that were put to the validation questions, in the order they were made."""
    models = records(run.summary.get("models"))
    return [model for model in models if model.get("name") and model.get("evaluation")]


def claim(models: Sequence[Model]) -> str:
    """What training did, in one sentence; only what was measured. Empty before an evaluation."""
    if not models:
        return ""
    first, final = models[0], models[-1]
    if len(models) == 1:
        shares = [
            f"{percent(mean)} of the questions that {need}"
            for kind, need in NEEDS.items()
            if (mean := _mean(final, kind)) is not None
        ]
        return f"Before training, the model gets {' and '.join(shares) or 'no question'} right."
    moves = [move for kind in NEEDS if (move := _move(first, final, kind))]
    if not moves:
        return f"{_title(final)} was evaluated on no observational or inferential question."
    training = f"right before {spoken(final['name'])} training,"
    moves[0] = moves[0].replace("right before,", training)
    return " ".join(moves)


def lead(run: Snapshot, models: Sequence[Model]) -> str:
    """What that training is, and what the same reached without its divergence term."""
    if len(models) < 2:
        return ""
    final = models[-1]
    return f"{_title(final)} is {_manner(run, final)}.{_reached(_control(models))}"


def verdict(models: Sequence[Model]) -> str:
    """How far one run can be trusted."""
    if len(models) < 2:
        return ""
    told = []
    for name, model in (("the model before training", models[0]), ("plain GRPO", _control(models))):
        if model and (change := _change(model, models[-1])):
            gap, low, high = change
            sure = "no more" if low <= 0 <= high else "more"
            told.append(
                f"against {name} {gap:+.0f} points where thinking is needed (95% interval"
                f" {low:+.0f} to {high:+.0f}), {sure} than the choice of questions explains"
            )
    if not told:
        return ""
    return f"How sure that is: {'; '.join(told)}. Another training run may come out differently."


def spoken(name: str) -> str:
    """A model's name as a sentence uses it."""
    return SPOKEN.get(name, str(name))


def results_table(models: Sequence[Model]) -> str:
    """Accuracy of each model with its 95% interval, aligned for a terminal; below, where questions
    are of several sorts, of each sort.
    """
    head, rows = ["model", *SHOWN, "n"], []
    for model in models:
        evaluation = model.get("evaluation") or {}
        cells = [_cell(evaluation.get(column)) for column in SHOWN]
        count = (evaluation.get("overall") or {}).get("n", 0)
        rows.append([str(model["name"]), *cells, str(count)])
    table = text_table([head], rows, right=range(1, len(head)))
    sorts = _sorts(models)
    if not sorts:
        return table
    names = [str(model["name"]) for model in models]
    below = [[sort, *map(_cell, estimates)] for sort, estimates in sorts.items()]
    return f"{table}\n\n{text_table([['', *names]], below, right=range(1, 1 + len(names)))}"


def _sorts(models: Sequence[Model]) -> dict[str, list[Fields]]:
    """Of each category and kind of answer what every model has; empty where there is but one."""
    found: dict[str, list[Fields]] = {}
    for key, title in (("by_category", "{}"), ("by_kind", "answers: {}")):
        tables = [(model.get("evaluation") or {}).get(key) or {} for model in models]
        for name in dict.fromkeys(name for table in tables for name in table):
            found[title.format(name)] = [table.get(name) or {} for table in tables]
    return found


def _title(model: Model) -> str:
    name = spoken(model["name"])
    return name[0].upper() + name[1:]


def _move(first: Model, final: Model, kind: str) -> str:
    before, after = _mean(first, kind), _mean(final, kind)
    if before is None or after is None:
        return ""
    return f"Questions that {NEEDS[kind]}: {percent(before)} right before, {percent(after)} after."


def _manner(run: Snapshot, model: Model) -> str:
    """How a model was trained."""
    stages = records(run.summary.get("stages"))
    kl: Fields = next(
        (stage.get("kl") or {} for stage in stages if stage.get("name") == model["name"]), {}
    )
    anchor = ANCHORS.get(str(kl.get("anchor")), "another model")
    return LEARNING + MANNERS.get(str(kl.get("direction")), "").format(anchor)


def _control(models: Sequence[Model]) -> Model | None:
    """The model to hold the last one against, where a run has it."""
    return next((model for model in models[1:-1] if model["name"] == CONTROL), None)


def _reached(control: Model | None) -> str:
    """What training without the divergence term reached, as a sentence."""
    means = [_mean(control, kind) for kind in NEEDS] if control else []
    reached = " and ".join(percent(mean) for mean in means if mean is not None)
    return f" The same training without that (plain GRPO) reached {reached}." if reached else ""


def _change(first: Model, final: Model) -> tuple[float, float, float] | None:
    """Points of inferential accuracy between two models, with their 95% interval."""
    if None in (_mean(first, "inferential"), _mean(final, "inferential")):
        return None
    ends = [model["evaluation"]["inferential"] for model in (first, final)]
    gap, low, high = (100 * value for value in difference(*ends))
    return gap, low, high


def _mean(model: Model, kind: str) -> float | None:
    return number(_estimate(model, kind).get("mean"))


def _estimate(model: Model, kind: str) -> Fields:
    """The share of right answers to a kind of question, with its interval; empty without one."""
    return model["evaluation"].get(kind) or {}


def _cell(estimate: Fields | None) -> str:
    if not estimate or estimate.get("mean") is None:
        return "-"
    mean, low, high = (100 * estimate[key] for key in ("mean", "low", "high"))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def results_part(models: Sequence[Model], colours: Mapping[str, int]) -> dict[str, object] | None:
    """Accuracy of every model by kind of question, with its interval; None before there is one."""
    if not models:
        return None
    sizes = {kind: _estimate(models[-1], kind).get("n", 0) for kind in KIND_TITLES}
    groups = [
        (title, [_bar(model, kind, colours) for model in models if _mean(model, kind) is not None])
        for kind, title in KIND_TITLES.items()
        if sizes[kind]
    ]
    summary = "Accuracy by kind of question and model: " + results_table(models)
    return {
        "models": [model["name"] for model in models],
        "wide": grouped_bars(groups, 980, 330, summary),
        "narrow": grouped_bars(groups, 358, 270, summary),
        "sizes": sizes,
        "columns": SHOWN,
        "rows": [_row(model) for model in models],
        "sorts": {
            sort: list(map(_percents, estimates)) for sort, estimates in _sorts(models).items()
        },
    }


def _bar(model: Model, kind: str, colours: Mapping[str, int]) -> Bar:
    mean, low, high = (_estimate(model, kind)[key] for key in ("mean", "low", "high"))
    label, own = f"{spoken(model['name'])}, {kind}", colours[model["name"]]
    return Bar(label=label, mean=mean, low=low, high=high, colour=own)


def _row(model: Model) -> dict[str, object]:
    """A model's means and intervals in percent, and its shortcut gap."""
    evaluation = model["evaluation"]
    gap = number(evaluation.get("shortcut_gap"))
    return {
        "name": model["name"],
        "cells": [_percents(evaluation.get(column)) for column in SHOWN],
        "gap": "-" if gap is None else f"{100 * gap:+.1f}",
    }


def _percents(estimate: Fields | None) -> tuple[str, str]:
    """A mean and its bounds."""
    mean, _, bounds = _cell(estimate).partition(" ")
    return mean, bounds.strip("[]").replace(", ", " to ")
