"""results.json as Markdown: tables of arms, of comparisons, of warm starts and of what pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Any

from videothinker.study.pull import FIRST_STEPS

ARM_COLUMNS = {
    "observational": "observational",
    "inferential": "inferential",
    "overall": "all",
    "likeliest_overall": "all, most likely",
    "reasoning_wording": "reasoning wording",
    "cosmetic": "cosmetic",
    "divergence": "nats a token from bias",
    "words": "words",
}
PAIR_COLUMNS = ("observational", "inferential", "overall", "cosmetic")
APART_COLUMNS = ("inferential", "overall")
"""Metrics of which p-values and single warm starts are told."""
PULL_COLUMNS = {
    "observational": "rewards, observational questions",
    "inferential": "rewards, inferential questions",
    "all": "rewards, all questions",
    "divergence": "divergence",
    "choice": "its size there",
    "elsewhere": "its size on other tokens",
}
APART = (
    "Each warm start for itself: the mean over its seeds, in brackets the least and the most of a"
    " seed."
)
PULLED = (
    f"What the first {FIRST_STEPS} steps of training pull at, in thousandths: the slope of a"
    " group's gain by the log-odds of reasoning at the token where the two wordings part,"
    " positive where a step makes reasoning likelier. Means over the groups of all cells."
)
COMPARED = (
    "Differences by cell and question, with 95% intervals of the same kind; p after Holm's"
    " correction for all comparisons with `{}`, uncorrected in brackets."
)
Results = Mapping[str, Any]


def table(results: Results) -> str:
    """The whole of table.md."""
    arms = [
        [
            f"`{name}`",
            *(_estimate(entry.get(k), "{:.1f}" if k == "words" else "{:.3f}") for k in ARM_COLUMNS),
        ]
        for name, entry in results["arms"].items()
    ]
    pairs = [
        [f"`{name.replace('-minus-', '` minus `')}`", *_differences(entry)]
        for name, entry in results["paired"].items()
    ]
    parts = [_made(results), _markdown(["arm", *ARM_COLUMNS.values()], arms)]
    if pairs:
        titles = [ARM_COLUMNS[metric] for metric in PAIR_COLUMNS]
        head = ["difference", *titles, "p, inferential", "p, all"]
        parts += [COMPARED.format(results["reference"]), _markdown(head, pairs)]
    parts += [APART, _by_warm_start(results)]
    if results["pull"]:
        pulls = [
            [f"`{name}`", *(_thousandths(entry.get(key), key) for key in PULL_COLUMNS)]
            for name, entry in results["pull"].items()
        ]
        parts += [PULLED, _markdown(["arm", *PULL_COLUMNS.values()], pulls)]
    if results["missing"]:
        parts.append(_missing(results["missing"]))
    return "\n\n".join(parts) + "\n"


def _made(results: Results) -> str:
    questions, cells = results["questions"], results["cells"]
    starts = len(results["warm_starts"])
    chance = (
        "other warm starts, seeds and questions"
        if starts > 1
        else "other seeds and questions on this one base model"
    )
    return (
        f"{len(cells)} cells: {starts} warm start{'s' * (starts > 1)}"
        f" ({', '.join(results['warm_starts'])}), training seeds"
        f" {', '.join(map(str, results['seeds']))}. {questions['overall']} {results['split']}"
        f" questions, {questions['observational']} observational and"
        f" {questions['inferential']} inferential, one sampled answer each. Mean over the cells"
        f" with its 95% interval over {chance}."
    )


def _by_warm_start(results: Results) -> str:
    columns = list(product(results["warm_starts"], APART_COLUMNS))
    rows = [
        [f"`{arm}`", *(_seeds(results, start, arm, metric) for start, metric in columns)]
        for arm in results["arms"]
    ]
    head = ["arm", *(f"{start}: {ARM_COLUMNS[metric]}" for start, metric in columns)]
    return _markdown(head, rows)


def _seeds(results: Results, start: str, arm: str, metric: str) -> str:
    cells = [one["arms"] for one in results["cells"].values() if one["warm_start"] == start]
    known = [arms[arm][metric] for arms in cells if metric in arms.get(arm, {})]
    return f"{fmean(known):.2f} ({min(known):.2f} to {max(known):.2f})" if known else "-"


def _thousandths(value: float | None, name: str) -> str:
    form = "{:.2f}" if name in ("choice", "elsewhere") else "{:+.2f}"
    return "-" if value is None else form.format(round(1000 * value, 2) + 0.0)


def _estimate(entry: Mapping[str, float] | None, form: str) -> str:
    if entry is None:
        return "-"
    keys = ("mean", "low", "high")
    mean, low, high = (form.format(round(entry[key], 3) + 0.0) for key in keys)  # no -0.000
    return f"{mean} [{low}, {high}]"


def _differences(entry: Mapping[str, Any]) -> list[str]:
    cells = [_estimate(entry.get(key), "{:+.3f}") for key in PAIR_COLUMNS]
    return cells + [_p(entry.get(key)) for key in APART_COLUMNS]


def _p(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return "-"
    if "p_holm" not in entry:
        return f"({_decimals(entry['p'])})"
    return f"{_decimals(entry['p_holm'])} ({_decimals(entry['p'])})"


def _decimals(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _missing(missing: Sequence[Mapping[str, str]]) -> str:
    lines = [f"- `{one['arm']}` of {one['cell']}: {one['reason']}" for one in missing]
    return "\n".join(["Not in these tables:", "", *lines])


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))
