"""gpu-check.md: a line a part with its verdict, then what each found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpu_check.running import Outcome


def page(outcomes: Sequence[Outcome], device: str) -> str:
    """For people."""
    rows = [f"| {one.part} | {one.verdict} | {one.said} | {one.goal} |" for one in outcomes]
    head = ["| part | verdict | figure | goal |", "|---|---|---|---|"]
    lines = [f"# gpu-check on {device}: {summary(outcomes)}", "", *head, *rows]
    for one in outcomes:
        lines += ["", f"## {one.part}", "", f"{one.asks[:1].upper()}{one.asks[1:]}."]
        lines += [f"Took {one.seconds:.0f} s.", ""]
        lines += [f"- {name}: {shown(value)}" for name, value in one.figures.items()]
    return "\n".join([*lines, ""])


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many parts came out how."""
    found = [one.verdict for one in outcomes]
    counts = {"passed": "pass", "failed": "FAIL", "not run": "not run"}
    return ", ".join(f"{found.count(v)} {name}" for name, v in counts.items() if v in found)


def shown(value: Any) -> str:
    """A figure in a few words."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value)
