"""The report's third part: what the model said, group by group, and what it earned for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from videothinker.errors import InputError
from videothinker.report.stills import Pictures
from videothinker.run.rollout_files import rollout_steps
from videothinker.run.rollouts import read_groups
from videothinker.status.snapshot import Fields

GROUPS_PER_STAGE = 2
STEPS_SEARCHED = 20
"""Of each stage's latest, so that a report of a long run stays quick."""


def groups_part(run: Path, stages: Sequence[str], pictures: Pictures) -> list[dict[str, object]]:
    """A few groups from the end of each stage, in the order given."""
    return [
        {
            "row": row,
            "options": [(one["letter"], one["text"]) for one in row["options"] or []],
            "stills": pictures(_shows(row), row.get("start"), row.get("end")),
            "completions": _completions(row),
        }
        for stage in stages
        for row in choose(_latest(run, stage))
    ]


def _shows(row: Fields) -> list[str]:
    """Runs of earlier versions show a video and nothing else."""
    return [path for path in (row["video"], *(row.get("also") or ())) if path]


def choose(rows: Sequence[Fields]) -> list[Fields]:
    """Up to two groups, latest first: one of each category, unequal rewards preferred.

    Equal rewards teach nothing, so such a group is shown only where there is no other.
    """
    ranked = sorted(rows, key=lambda row: len(set(row["rewards"])) < 2)
    chosen: list[Fields] = []
    for row in ranked:
        if row["category"] not in [other["category"] for other in chosen]:
            chosen.append(row)
    return chosen[:GROUPS_PER_STAGE]


def _latest(run: Path, stage: str) -> list[Fields]:
    rows: list[Fields] = []
    for step in rollout_steps(run, stage)[: -STEPS_SEARCHED - 1 : -1]:
        with suppress(InputError):  # the picture of a run is not lost over one unreadable file
            rows += read_groups(run, stage, step)
    return rows


def _completions(row: Fields) -> list[dict[str, object]]:
    """One entry for each different text, best first; the same text says how often it came."""
    places: dict[tuple[str, float, float], list[int]] = {}
    for place, text in enumerate(row["completions"]):
        key = (text, row["rewards"][place], row["advantages"][place])
        places.setdefault(key, []).append(place)
    ordered = sorted(places.items(), key=lambda item: -item[0][2])
    return [
        {
            "text": text,
            "reward": reward,
            "advantage": advantage,
            "times": len(found),
            "cut": _was_cut(row, found[0]),
            "gap": _anchor_gap(row, found[0]),
        }
        for (text, reward, advantage), found in ordered
    ]


def _was_cut(row: Fields, place: int) -> bool:
    reasons = row.get("finish_reasons") or []
    return place < len(reasons) and reasons[place] == "length"


def _anchor_gap(row: Fields, place: int) -> float | None:
    """Mean log-probability under the policy minus that under the anchor."""
    anchor = row.get("anchor_logprobs")
    if not anchor or not anchor[place]:
        return None
    return float((sum(row["logprobs"][place]) - sum(anchor[place])) / len(anchor[place]))
