"""Results of several models in the paper's table, above the paper's own rows and apart from them;
those of benchmarks that the paper has not in a table beside it.

What was measured here has an interval and a block of its own. What the paper published is marked in
every row, and nothing is computed from it.
"""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videothinker.config.hub_names import hub_source
from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME
from videothinker.evaluation.pairs import PairedModels, pairs_of
from videothinker.evaluation.result import Result, Score, read_marks, read_result
from videothinker.evaluation.rules import Scoring
from videothinker.terminal_text import text_table

TITLES = {name: benchmark.title for name, benchmark in BY_NAME.items()}
PAPER = [name for name, benchmark in BY_NAME.items() if benchmark.in_paper]
"""The columns of its table, in its order."""
PUBLISHED = {
    "Qwen2.5-VL-3B CoT": (44.7, 52.8, 32.5, 49.6, 30.0, 52.0),
    "VideoRFT-3B": (59.3, 55.1, 33.0, 59.5, 61.0, 45.4),
    "GRPO 1K": (64.9, 52.0, 32.3, 54.9, 41.4, 50.3),
    "VideoThinker-R1": (79.1, 56.8, 34.3, 60.9, 63.5, 52.4),
}
"""Percent, in the order of PAPER."""
PUBLISHED_IN = (
    "Beyond Perceptual Shortcuts (CVPR 2026), main table; copied from it, nothing was asked again."
    " Asked as its code asks, as far as that says; its file of CLEVRER is in no public copy"
)
"""Where those are from, and how sure they are."""

DIRECT = "direct"
"""The wording that asks for an answer without thinking."""
BASELINES = (("chance", "chance"), ("majority", "most common answer"))
"""(key of a score, what it is called): what needs no model at all."""


UNLIKE = "≠"
"""Marks what was not asked as the others of its column were."""
Differing = Mapping[str, tuple[str, ...]]
"""By row: how it was asked, where others of its column were asked differently."""
Rows = Mapping[str, Mapping[str, Result]]
"""A model asked in one way, by what it is called; its results by benchmark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Measured rows, in the order given, and what to know when reading them."""

    rows: Rows
    notes: tuple[str, ...]
    scoring: Scoring
    differing: Mapping[str, Differing]
    """By benchmark, of the rows that were not asked alike."""
    pairs: Sequence[PairedModels] = ()

    def text(self) -> str:
        """The table for a terminal."""
        published = [
            [f"{model} †", *(f"{figure:5.1f}" for figure in figures)]
            for model, figures in PUBLISHED.items()
        ]
        parts = [self._table(PAPER, published)] if _in_paper(self.rows) else []
        others = [name for name in TITLES if name not in PAPER and _column(self.rows, name)]
        if others:
            parts.append(self._table(others))
        if self.pairs:
            head = ["on the same questions", "", "points [95%]", "gained", "lost", "p (McNemar)"]
            told = [[TITLES[pair.benchmark], *pair.cells()] for pair in self.pairs]
            parts.append(text_table([head], told, right=[3, 4, 5]))
        kinds = self._kinds()
        if kinds:
            head = ["CLEVRER by kind", "observational", "inferential", "gap"]
            parts.append(text_table([head], kinds))
        notes = [textwrap.fill(note, 100, subsequent_indent="  ") for note in self.notes]
        return "\n\n".join([*parts, "\n".join(notes)])

    def _table(self, columns: Sequence[str], *published: Sequence[Sequence[str]]) -> str:
        head = [f"accuracy, percent ({self.scoring} scoring)", *(TITLES[name] for name in columns)]
        measured = [
            [model, *(self._cell(model, name) for name in columns)]
            for model, results in self.rows.items()
            if set(results) & set(columns)
        ]
        baselines = [
            [spoken, *(self._baseline(name, key) for name in columns)] for key, spoken in BASELINES
        ]
        return text_table([head], measured, baselines, *published)

    def as_dict(self) -> dict[str, Any]:
        """The same in types JSON has, with shares between 0 and 1."""
        measured = [
            {
                "model": model,
                "source": "measured",
                "protocol": ", ".join(sorted({one.protocol.name for one in results.values()})),
                "scores": {name: self._entry(model, one) for name, one in results.items()},
            }
            for model, results in self.rows.items()
        ]
        published = [
            {
                "model": model,
                "source": "published",
                "protocol": "reference",
                "from": PUBLISHED_IN,
                "scores": {
                    name: {"accuracy": round(figure / 100, 3)}
                    for name, figure in zip(PAPER, figures, strict=True)
                },
            }
            for model, figures in PUBLISHED.items()
            if _in_paper(self.rows)
        ]
        pairs = [asdict(pair) for pair in self.pairs]
        rows = [*measured, *published]
        return {"scoring": self.scoring, "rows": rows, "pairs": pairs, "notes": list(self.notes)}

    def _cell(self, model: str, benchmark: str) -> str:
        if (result := self.rows[model].get(benchmark)) is None:
            return "    -"
        scores = result.scores(self.scoring)
        mark = f" {UNLIKE}" if model in self.differing[benchmark] else ""
        return _plus_minus(scores.accuracy, scores.low, scores.high) + mark

    def _entry(self, model: str, result: Result) -> dict[str, Any]:
        entry = result.scores(self.scoring).model_dump(include=set(Score.model_fields))
        entry |= {"protocol": result.protocol.name, "unanswered": result.unanswered}
        entry |= {"unlike": list(self.differing[result.benchmark].get(model, ()))}
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


def compare(
    paths: Sequence[Path], scoring: Scoring | None = None, unlike: bool = False
) -> Comparison:
    """Puts results side by side; a path is a result.json or the folder that holds one.

    Those of one benchmark that were not asked alike are refused, or marked where `unlike`. Without
    a scoring it is the one of the results' protocols.
    """
    results: dict[tuple[str, str, str], tuple[Path, Result]] = {}
    for path in paths:
        result = read_result(path)
        key = (result.digest, result.benchmark, str(result.asked))
        if key in results:
            raise InputError(
                f"{path}: benchmark: {result.benchmark} of the same model asked in the same way is "
                f"in {results[key][0]} too. Give one of the two."
            )
        results[key] = path, result
    found = [result for _, result in results.values()]
    scoring = scoring or _scoring(found)
    rows = _rows(found)
    differing = {name: _differences(_column(rows, name)) for name in TITLES}
    if not unlike and (said := _unlike(differing)):
        raise InputError(
            f"{'; '.join(said)}. Ask them alike (--protocol, --max-tokens), or give --unlike to see"
            " them side by side, marked"
        )
    notes = tuple(_notes(rows, scoring, differing))
    marks = {id(result): read_marks(path, result) for path, result in results.values()}
    pairs = [one for name in TITLES for one in pairs_of(name, _column(rows, name), marks, scoring)]
    return Comparison(rows=rows, notes=notes, scoring=scoring, differing=differing, pairs=pairs)


def _scoring(results: Sequence[Result]) -> Scoring:
    """The one that all were asked for."""
    meant: dict[Scoring, list[str]] = defaultdict(list)
    for result in results:
        meant[result.protocol.scoring].append(f"{result.benchmark} {result.protocol.name}")
    if len(meant) > 1:
        raise InputError(
            f"protocols: their figures are not scored alike: {_listed(meant)}. Give --scoring"
            " reference or --scoring official"
        )
    return next(iter(meant))


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
    """One row for a model, direct answers apart; one for each way of asking where they overlap.

    Benchmarks differ in how they are usually asked, so a row may hold several ways.
    """
    models: dict[str, str] = {}
    groups: dict[tuple[str, bool], list[Result]] = defaultdict(list)
    for result in results:
        models.setdefault(result.digest, result.model)
        groups[result.digest, _direct(result)].append(result)
    names = _labels(models)
    rows = {}
    for (digest, direct), group in groups.items():
        overlap = len({result.benchmark for result in group}) < len(group)
        for way, held in _ways(group if overlap else ()).items():
            rows[f"{names[digest]} [{way}]"] = {one.benchmark: one for one in held}
        if not overlap:
            suffix = " [direct answer]" if direct else ""
            rows[names[digest] + suffix] = {one.benchmark: one for one in group}
    return rows


def _direct(result: Result) -> bool:
    return result.protocol.wording == DIRECT


def _ways(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results of one model by how they were asked: the protocol, and what tells two of its name
    apart."""
    named: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        named[result.protocol.name].append(result)
    ways: dict[str, list[Result]] = defaultdict(list)
    for name, group in named.items():
        own = _own([result.asked for result in group])
        for result, parts in zip(group, own, strict=True):
            told = len({one.benchmark for one in group}) < len(group)
            ways[", ".join([name, *(parts if told else ())])].append(result)
    return ways


def _own(asked: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Of each, the parts that are not the same in all."""
    keys = dict.fromkeys(key for one in asked for key in one)
    differing = [key for key in keys if len({str(one.get(key)) for one in asked}) > 1]
    return [[_part(key, one.get(key)) for key in differing] for one in asked]


def _part(key: str, value: Any) -> str:
    """Long texts by their first letters."""
    said = "none" if value in (None, "") else " ".join(str(value).split())
    return f"{key} {said if len(said) <= 24 else said[:21] + '...'}"


def _in_paper(rows: Rows) -> bool:
    return any(name in PAPER for results in rows.values() for name in results)


def _column(rows: Rows, benchmark: str) -> dict[str, Result]:
    """Of the rows that have one, by model."""
    return {model: held[benchmark] for model, held in rows.items() if benchmark in held}


def _notes(rows: Rows, scoring: Scoring, differing: Mapping[str, Differing]) -> list[str]:
    """What differs between the cells of one column, then what the marks mean."""
    notes = [f"{UNLIKE} {said}." for said in _unlike(differing)]
    asked: dict[str, list[str]] = defaultdict(list)
    unanswered: list[str] = []
    for benchmark, title in TITLES.items():
        held = _column(rows, benchmark)
        for name in dict.fromkeys(one.protocol.name for one in held.values()):
            asked[name].append(title)
        unanswered += [
            f"{title} {one.unanswered} of {one.official.n} ({name})"
            for name, one in held.items()
            if one.unanswered
        ]
    if unanswered:
        notes.append(f"Left without an answer and counted as wrong: {'; '.join(unanswered)}.")
    notes += [f"Protocol: {_listed(asked)}.", "± is the longer side of the 95% interval."]
    if not _in_paper(rows):
        return notes
    notes.append("† published by the paper; not measured here; no intervals were given.")
    if scoring == "official":
        notes.append(
            "The published rows are not scored officially; the reference scoring comes nearest."
        )
    return notes


def _differences(held: Mapping[str, Result]) -> Differing:
    """What keeps cells of one column from being compared, by row; empty where nothing does."""
    own = _own([result.asked for result in held.values()])
    return {name: tuple(parts) for name, parts in zip(held, own, strict=True) if parts}


def _unlike(differing: Mapping[str, Differing]) -> list[str]:
    return [
        f"{TITLES[benchmark]} was not asked alike: "
        + "; ".join(f"{', '.join(parts)} ({name})" for name, parts in by_row.items())
        for benchmark, by_row in differing.items()
        if by_row
    ]


def _listed(values: Mapping[Any, Sequence[str]]) -> str:
    return "; ".join(f"{value} ({', '.join(names)})" for value, names in values.items())


def _plus_minus(mean: float | None, low: float, high: float) -> str:
    return (
        "    -" if mean is None else f"{100 * mean:5.1f} ±{100 * max(mean - low, high - mean):.1f}"
    )
