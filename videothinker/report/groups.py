"""The report's third part: what the model said, group by group, and what it earned for it.

Question text and completions come from outside; all of it is escaped before it reaches the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = Mapping[str, Any]
Pictures = Callable[[Row], list[str]]
"""Stills of a question's video as data: URIs; none where it cannot be read from here."""

GROUPS_PER_STAGE = 2
FILES_SEARCHED = 20
"""Of each stage's latest files, so that a report of a long run stays quick."""


def groups_section(run: Path, stages: Sequence[str], pictures: Pictures) -> str:
    """A few groups from the end of each stage, in the order given."""
    cards = []
    for stage in stages:
        for row in choose(_latest(run, stage)):
            cards.append(_card(row, pictures(row)))
    if not cards:
        return ""
    return (
        "<h2>What the model said</h2>"
        '<p class="note">Groups from the end of each stage, the last stage first: one question, '
        "several sampled answers. Within a group an answer is pushed up (green) or down (red) by "
        "its advantage, how far its reward is above or below the group's mean.</p>" + "".join(cards)
    )


def choose(rows: Sequence[Row]) -> list[Row]:
    """Up to two groups, latest first: one of each category, unequal rewards preferred.

    Equal rewards teach nothing, so such a group is shown only where there is no other.
    """
    ranked = sorted(rows, key=lambda row: len(set(row["rewards"])) < 2)
    chosen: list[Row] = []
    for row in ranked:
        if row["category"] not in [other["category"] for other in chosen]:
            chosen.append(row)
    return chosen[:GROUPS_PER_STAGE]


def _latest(run: Path, stage: str) -> list[Row]:
    files = sorted((run / "rollouts").glob(f"{stage}-[0-9]*.parquet"), reverse=True)
    rows: list[Row] = []
    for file in files[:FILES_SEARCHED]:
        try:
            rows += pq.ParquetFile(file).read().to_pylist()
        except (OSError, pa.ArrowInvalid):
            continue  # the picture of a run is not lost over one unreadable file
    return rows


def _card(row: Row, shown: Sequence[str]) -> str:
    category = f"{row['category']} question, " if row["category"] else ""
    origin = f"stage {row['stage']}, step {row['step']}, weights version {row['weights_version']}"
    return (
        f'<article class="group-card"><div class="kicker">{escape(category + origin)}</div>'
        f"{asked(row, shown)}"
        f'<div class="completions">{"".join(_completions(row))}</div></article>'
    )


def asked(row: Row, shown: Sequence[str]) -> str:
    """A question with its stills, and its options with the correct ones ticked."""
    correct = set(str(row["answer"]).split(","))
    options = "".join(
        f'<li class="right">{_option(option)} &#10003;</li>'
        if option["letter"] in correct
        else f"<li>{_option(option)}</li>"
        for option in row["options"] or []
    )
    return (
        f"{_frames(row, shown)}"
        f'<p class="question">{escape(row["text"])}</p><ol class="options">{options}</ol>'
    )


def _option(option: Mapping[str, str]) -> str:
    return f"{escape(option['letter'])}. {escape(option['text'])}"


def _frames(row: Row, shown: Sequence[str]) -> str:
    name = escape(str(row["video"]))
    if not shown:
        return f'<p class="note">{name} (not readable from here)</p>'
    images = "".join(f'<img src="{uri}" alt="">' for uri in shown)
    return f'<div class="frames" role="img" aria-label="frames of {name}">{images}</div>'


def _completions(row: Row) -> list[str]:
    """One block for each different text, best first; the same text says how often it came."""
    places: dict[tuple[str, float, float], list[int]] = {}
    for place, text in enumerate(row["completions"]):
        key = (text, row["rewards"][place], row["advantages"][place])
        places.setdefault(key, []).append(place)
    ordered = sorted(places.items(), key=lambda item: -item[0][2])
    return [_completion(row, key, found) for key, found in ordered]


def _completion(row: Row, key: tuple[str, float, float], places: Sequence[int]) -> str:
    text, reward, advantage = key
    kind = " good" if advantage > 1e-6 else " bad" if advantage < -1e-6 else ""
    times = f"<span>{len(places)} times</span>" if len(places) > 1 else ""
    cut = "<span>cut at the token limit</span>" if _was_cut(row, places[0]) else ""
    gap = _anchor_gap(row, places[0])
    anchor = f"<span>{gap:+.2f} nats a token against the anchor</span>" if gap is not None else ""
    return (
        f'<div class="completion{kind}"><header><b>advantage {advantage:+.2f}</b>'
        f"<span>reward {reward:.2f}</span>{times}{cut}{anchor}</header>"
        f"<p>{escape(text)}</p></div>"
    )


def _was_cut(row: Row, place: int) -> bool:
    reasons = row.get("finish_reasons") or []
    return place < len(reasons) and reasons[place] == "length"


def _anchor_gap(row: Row, place: int) -> float | None:
    """Mean log-probability under the policy minus that under the anchor."""
    anchor = row.get("anchor_logprobs")
    if not anchor or not anchor[place]:
        return None
    return float((sum(row["logprobs"][place]) - sum(anchor[place])) / len(anchor[place]))
