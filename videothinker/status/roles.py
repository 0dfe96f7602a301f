"""What each role holds of its device and how fast it works, as the lines of metrics.jsonl say."""

from __future__ import annotations

from collections.abc import Mapping

from videothinker.status.snapshot import Fields, number, whole

SCALED_AS = {"anchor": "scorer"}
"""Roles by the words that `videothinker scale` uses; others by their own."""


def roles_of(line: Fields) -> dict[str, Fields]:
    """By role, a step's figures; none in a line of an older version."""
    roles = line.get("roles")
    found = roles.items() if isinstance(roles, Mapping) else ()
    return {str(role): figures for role, figures in found if isinstance(figures, Mapping)}


def told(figures: Fields) -> str:
    """A role's figures in a line; of what is unknown nothing is said."""
    memory, peak, busy, tokens, mfu = (
        number(figures.get(name))
        for name in ("memory_gb", "memory_peak_gb", "utilisation", "tokens_per_second", "mfu")
    )
    threads = whole(figures.get("threads"))
    parts = (
        f"{memory:.3g} GB" + (f" (peak {peak:.3g})" if peak is not None else "") if memory else "",
        f"{busy:.0%} busy" if busy is not None else "",
        f"{threads} thread{'s' * (threads > 1)}" if threads else "",
        f"{rate(tokens)} tokens/s" if tokens is not None else "",
        f"MFU {mfu:.0%}" if mfu is not None else "",
    )
    return ", ".join(part for part in parts if part)


def rate(value: float) -> str:
    """To three digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
