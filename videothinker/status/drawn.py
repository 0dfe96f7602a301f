"""Which questions a stage draws, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from videothinker.status.snapshot import Fields, number, whole


def drawn_words(about: Mapping[str, Any], lines: Sequence[Fields] = ()) -> str:
    """What a stage draws from, as its driver noted it, and how that went in the steps of these
    lines; empty where nothing is known."""
    count, wrong, of = whole(about.get("questions")), whole(about.get("wrong")), about.get("of")
    if about.get("by") != "errors":
        return ""
    if "instead" in about:
        right = "none" if wrong else "all"
        return (
            f"model {of} gets {right} of {count:,} questions right, so that there is nothing to"
            " share: all of them are drawn alike"
        )
    went = _mean("asked_wrong", lines)
    share = f", {went:.0%} of what was asked" if went is not None else ""
    return f"model {of} gets {wrong:,} of {count:,} questions wrong{share}"


def _mean(key: str, lines: Sequence[Fields]) -> float | None:
    values = [value for line in lines if (value := number(line.get(key))) is not None]
    return fmean(values) if values else None
