"""Results of several models in the paper's table, above the paper's own rows and apart from them.

What was measured here has an interval and a block of its own. What the paper published is marked in
every row, and nothing is computed from it.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticKnownError

from videothinker.config.hub_names import hub_source
from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.intervals import difference
from videothinker.evaluation.scores import Scoring
from videothinker.terminal_text import text_table

TITLES = {name: benchmark.title for name, benchmark in BY_NAME.items()}
"""The columns, in the paper's order."""
PUBLISHED = {
    "Qwen2.5-VL-3B CoT": (44.7, 52.8, 32.5, 49.6, 30.0, 52.0),
    "VideoRFT-3B": (59.3, 55.1, 33.0, 59.5, 61.0, 45.4),
    "GRPO 1K": (64.9, 52.0, 32.3, 54.9, 41.4, 50.3),
    "VideoThinker-R1": (79.1, 56.8, 34.3, 60.9, 63.5, 52.4),
}
"""Percent, in the order of TITLES."""

DIRECT = "direct"
"""The wording that asks for an answer without thinking."""
BASELINES = (("chance", "chance"), ("majority", "most common answer"))
"""(key of a score, what it is called): what needs no model at all."""


def _known(benchmark: str) -> str:
    if benchmark not in BY_NAME:
        expected = ", ".join(map(repr, BY_NAME))
        raise PydanticKnownError("literal_error", {"expected": expected})
    return benchmark


class Score(BaseModel, frozen=True):
    """A share of questions answered right, with its 95% interval.

    Part of result.json, as all classes here; keys that only others read are passed over.
    """

    accuracy: float | None
    low: float
    high: float
    n: int
    chance: float | None
    majority: float | None


class Scores(Score, frozen=True):
    """The same by category, and where there are any, by finer ones and over single options."""

    by_category: dict[str, Score]
    by_subcategory: dict[str, Score] = {}
    per_option: Score | None = None


class KindShare(BaseModel, frozen=True):
    """The share of one kind of question that was answered right, with its 95% interval."""

    mean: float | None
    low: float
    high: float
    n: int


class Diagnosis(BaseModel, frozen=True):
    """What needs no thinking against what does."""

    observational: KindShare
    inferential: KindShare

    def gap(self) -> tuple[float, float, float] | None:
        """Observational minus inferential accuracy with a 95% interval."""
        if self.observational.mean is None or self.inferential.mean is None:
            return None
        return difference(self.inferential.model_dump(), self.observational.model_dump())


class Result(Scores, frozen=True):
    """OUT/result.json of `videothinker evaluate`; its own scores are those of the reference."""

    model: str
    digest: str
    benchmark: Annotated[str, AfterValidator(_known)]
    data: str
    questions: str = ""
    """Address of the questions by content."""
    wording: str
    video: dict[str, Any]
    frames: int
    unanswered: int
    official: Scores
    diagnosis: Diagnosis | None = None

    def scores(self, scoring: Scoring) -> Scores:
        """Overall and by category, under one of the two scorings."""
        return self.official if scoring == "official" else self


Rows = Mapping[str, Mapping[str, Result]]
"""A model asked in one way, by what it is called; its results by benchmark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Measured rows, in the order given, and what to know when reading them."""

    rows: Rows
    notes: tuple[str, ...]
    scoring: Scoring

    def text(self) -> str:
        """The table for a terminal."""
        head = [f"accuracy, percent ({self.scoring} scoring)", *TITLES.values()]
        measured = [
            [model, *(_cell(results.get(name), self.scoring) for name in TITLES)]
            for model, results in self.rows.items()
        ]
        baselines = [
            [spoken, *(self._baseline(name, key) for name in TITLES)] for key, spoken in BASELINES
        ]
        published = [
            [f"{model} †", *(f"{figure:5.1f}" for figure in figures)]
            for model, figures in PUBLISHED.items()
        ]
        parts = [text_table([head], measured, baselines, published)]
        kinds = self._kinds()
        if kinds:
            head = ["CLEVRER by kind", "observational", "inferential", "gap"]
            parts.append(text_table([head], kinds))
        notes = [textwrap.fill(note, 100, subsequent_indent="  ") for note in self.notes]
        return "\n\n".join([*parts, "\n".join(notes)])

    def as_dict(self) -> dict[str, Any]:
        """The same in types JSON has, with shares between 0 and 1."""
        measured = [
            {
                "model": model,
                "source": "measured",
                "wording": ", ".join(sorted({one.wording for one in results.values()})),
                "scores": {name: self._entry(one) for name, one in results.items()},
            }
            for model, results in self.rows.items()
        ]
        published = [
            {
                "model": model,
                "source": "published",
                "wording": None,
                "scores": {
                    name: {"accuracy": round(figure / 100, 3)}
                    for name, figure in zip(TITLES, figures, strict=True)
                },
            }
            for model, figures in PUBLISHED.items()
        ]
        return {"scoring": self.scoring, "rows": [*measured, *published], "notes": list(self.notes)}

    def _entry(self, result: Result) -> dict[str, Any]:
        entry = result.scores(self.scoring).model_dump(include=set(Score.model_fields))
        entry |= {"wording": result.wording, "unanswered": result.unanswered}
        if result.diagnosis:
            entry["diagnosis"] = result.diagnosis.model_dump()
        return entry

    def _baseline(self, benchmark: str, key: str) -> str:
        """Of the questions, so empty where the rows were asked different ones."""
        held = _column(self.rows, benchmark).values()
        found = {getattr(result.scores(self.scoring), key) for result in held}
        value = found.pop() if len(found) == 1 else None
        return "    -" if value is None else f"{100 * value:5.1f}"

    def _kinds(self) -> list[list[str]]:
        lines = []
        for model, result in _column(self.rows, "clevrer").items():
            diagnosis = result.diagnosis
            if diagnosis and (gap := diagnosis.gap()):
                ends = (diagnosis.observational, diagnosis.inferential)
                shown = [_plus_minus(one.mean, one.low, one.high) for one in ends]
                points = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in gap))
                lines.append([model, *shown, points])
        return lines


def compare(paths: Sequence[Path], scoring: Scoring = "reference") -> Comparison:
    """Puts results side by side; a path is a result.json or the folder that holds one."""
    results: dict[tuple[str, str, str], tuple[Path, Result]] = {}
    for path in paths:
        result = read_result(path)
        key = (result.digest, result.benchmark, result.wording)
        if key in results:
            raise InputError(
                f"{path}: benchmark: {result.benchmark} of the same model in the same wording is "
                f"in {results[key][0]} too. Give one of the two."
            )
        results[key] = path, result
    rows = _rows([result for _, result in results.values()])
    return Comparison(rows=rows, notes=tuple(_notes(rows, scoring)), scoring=scoring)


def read_result(path: Path) -> Result:
    """What `videothinker evaluate` wrote; refused where it is something else."""
    path = path / "result.json" if path.is_dir() else path
    try:
        return Result.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}. Give the --out folder of `videothinker evaluate`."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        raise InputError(
            f"{path}: {field}: {first['msg'].lower()}. Another version or another program wrote "
            "it; run `videothinker evaluate` again."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not JSON ({error}). Give the result.json that `videothinker evaluate` wrote."
        ) from error


def label(model: str, depth: int = 2) -> str:
    """A short name: "cdpo (runs/cdpo)" for a run's stage, the Hub's for what came from there,
    otherwise the end of the path."""
    if (name := hub_source(Path(model))) is not None:
        return name[: name.index("@") + 9]
    parts = Path(model).parts
    if parts[-3:-2] == ("stages",) and parts[-1] == "model":
        return f"{parts[-2]} ({Path(*parts[:-3][-depth:])})"
    return str(Path(*parts[1 - depth :]))


def _labels(models: Mapping[str, str]) -> dict[str, str]:
    """{digest: label}, each as short as tells it from the others."""
    labels = {digest: label(model) for digest, model in models.items()}
    for depth in range(3, 2 + max(len(Path(model).parts) for model in models.values())):
        for digest in _clashing(labels):
            labels[digest] = label(models[digest], depth)
    for digest in _clashing(labels):  # one folder, trained again between two results
        labels[digest] += f" {digest[:8]}"
    return labels


def _clashing(labels: Mapping[str, str]) -> list[str]:
    counts = Counter(labels.values())
    return [digest for digest, name in labels.items() if counts[name] > 1]


def _rows(results: Sequence[Result]) -> Rows:
    """One row for a model, direct answers apart; one for each wording where they overlap.

    Benchmarks differ in their usual wording, so a row may hold several.
    """
    models: dict[str, str] = {}
    groups: dict[tuple[str, bool], list[Result]] = defaultdict(list)
    for result in results:
        models.setdefault(result.digest, result.model)
        groups[result.digest, result.wording == DIRECT].append(result)
    names = _labels(models)
    rows = {}
    for (digest, direct), group in groups.items():
        overlap = len({result.benchmark for result in group}) < len(group)
        for wording in dict.fromkeys(result.wording if overlap else "" for result in group):
            suffix = " [direct answer]" if direct else f" [{wording} wording]" if overlap else ""
            held = {one.benchmark: one for one in group if wording in ("", one.wording)}
            rows[names[digest] + suffix] = held
    return rows


def _column(rows: Rows, benchmark: str) -> dict[str, Result]:
    """Of the rows that have one, by model."""
    return {model: held[benchmark] for model, held in rows.items() if benchmark in held}


def _notes(rows: Rows, scoring: Scoring) -> list[str]:
    """What differs between the cells of one column, then what the marks mean."""
    notes: list[str] = []
    wordings: dict[str, list[str]] = defaultdict(list)
    unanswered: list[str] = []
    for benchmark, title in TITLES.items():
        held = _column(rows, benchmark)
        notes += _differences(title, held)
        for wording in dict.fromkeys(one.wording for one in held.values()):
            wordings[wording].append(title)
        unanswered += [
            f"{title} {one.unanswered} of {one.official.n} ({name})"
            for name, one in held.items()
            if one.unanswered
        ]
    if unanswered:
        notes.append(f"Left without an answer and counted as wrong: {'; '.join(unanswered)}.")
    notes += [f"Wording: {_listed(wordings)}.", "± is the longer side of the 95% interval."]
    notes.append("† published by the paper; not measured here; no intervals were given.")
    if scoring == "official":
        notes.append(
            "The published rows are not scored officially; the reference scoring comes nearest."
        )
    return notes


def _differences(title: str, held: Mapping[str, Result]) -> list[str]:
    """What keeps cells of one column from being compared. Direct answers differ on purpose."""
    budgets = [set(map(str, one.video.items())) for one in held.values()]
    shared = set.intersection(*budgets) if budgets else set()
    wordings, frames, questions = (defaultdict[str, list[str]](list) for _ in range(3))
    for name, one in held.items():
        if one.wording != DIRECT:
            wordings[one.wording].append(name)
        own = [f"{item[0]} {item[1]}" for item in one.video.items() if str(item) not in shared]
        frames[", ".join(own) or "the rest"].append(name)
        questions[one.questions[:8] or one.data].append(name)
    aspects = {"wordings": wordings, "frame budgets": frames, "questions": questions}
    return [
        f"{title}: not comparable, {what} differ: {_listed(values)}."
        for what, values in aspects.items()
        if len(values) > 1
    ]


def _listed(values: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items())


def _cell(result: Result | None, scoring: Scoring) -> str:
    if result is None:
        return "    -"
    scores = result.scores(scoring)
    return _plus_minus(scores.accuracy, scores.low, scores.high)


def _plus_minus(mean: float | None, low: float, high: float) -> str:
    return (
        "    -" if mean is None else f"{100 * mean:5.1f} ±{100 * max(mean - low, high - mean):.1f}"
    )
