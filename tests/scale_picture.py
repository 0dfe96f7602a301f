"""The picture of docs/scale.md, from the figures of `tests/benchmarks/scale.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from panels import Panel, in_a_row

WORKERS = (8, 64, 256, 1_024)
QUESTIONS = (1_000, 10_000, 100_000)
PER_GROUP = ("microseconds_per_group", "microseconds a group")
PANELS = {
    "workers": ("workers", "rollout workers", *PER_GROUP),
    "questions": (
        "questions",
        "questions a step",
        "microseconds_per_group",
        "microseconds a group",
    ),
    "memory": ("questions", "questions a step", "memory_mib", "MiB"),
}


def picture(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Three panels; of processor time, which others on the machine hardly change."""
    panels = [
        Panel(
            label=name,
            points=[(float(size), one[figure]) for size, one in found[of].items()],
            x_label=x_label,
            y_label=y_label,
        )
        for name, (of, x_label, figure, y_label) in PANELS.items()
    ]
    return in_a_row(panels, "the driver by workers and questions")
