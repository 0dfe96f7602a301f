"""Which questions a stage draws, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from videothinker.status.snapshot import Fields, number, whole


def drawn_words(about: Mapping[str, Any], lines: Sequence[Fields] = ()) -> str:
    """What a stage draws from, as its driver noted it, and how that went in the steps of these
    lines; empty where nothing is known."""
    count = whole(about.get("questions"))
    if about.get("by") == "errors":
        return _errors(about, count, lines)
    if about.get("by") == "column":
        return _weights(about, count, lines)
    if about.get("by") == "difficulty":
        return _resting(about, count, lines)
    return ""


def _errors(about: Mapping[str, Any], count: int, lines: Sequence[Fields]) -> str:
    wrong, of = whole(about.get("wrong")), about.get("of")
    if "instead" in about:
        right = "none" if wrong else "all"
        return (
            f"model {of} gets {right} of {count:,} questions right, so that there is nothing to"
            " share: all of them are drawn alike"
        )
    went = _mean("asked_wrong", lines)
    share = f", {went:.0%} of what was asked" if went is not None else ""
    return f"model {of} gets {wrong:,} of {count:,} questions wrong{share}"


def _weights(about: Mapping[str, Any], count: int, lines: Sequence[Fields]) -> str:
    mean, went = number(about.get("mean_weight")), _mean("asked_weight", lines)
    words = f"each as often as its column {about.get('column')} says"
    words += f", {whole(about.get('never')):,} of {count:,} never"
    words += f"; their mean is {mean:.3g}" if mean is not None else ""
    return words + (f", {went:.3g} of what was asked" if went is not None else "")


def _resting(about: Mapping[str, Any], count: int, lines: Sequence[Fields]) -> str:
    least, most, went = (
        number(about.get("least")),
        number(about.get("most")),
        _mean("resting", lines),
    )
    if least is None or most is None:
        return ""
    words = f"those of {count:,} that the policy gets right {least:.0%} to {most:.0%} of the time"
    words += f", others rest for {whole(about.get('rest'))} rounds"
    return words + (f"; {went:.3g} rested in a step's round" if went is not None else "")


def _mean(key: str, lines: Sequence[Fields]) -> float | None:
    values = [value for line in lines if (value := number(line.get(key))) is not None]
    return fmean(values) if values else None
