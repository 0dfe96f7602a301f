"""docs/scale.md: its picture and its numbers are what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

from scale_picture import QUESTIONS, WORKERS, picture

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"

FIGURES = json.loads((PICTURES / "scale.json").read_text())


def test_the_picture_is_drawn_from_the_figures() -> None:
    assert (PICTURES / "scale.svg").read_text() == picture(FIGURES)


def test_the_tables_have_the_figures() -> None:
    rows = dict(
        re.findall(
            r"^\| ([\d,]+) \| ([\d, |]+) \|$", (ROOT / "docs" / "scale.md").read_text(), re.M
        )
    )
    assert list(FIGURES["workers"]) == [str(count) for count in WORKERS]
    assert list(FIGURES["questions"]) == [str(count) for count in QUESTIONS]
    for of in ("workers", "questions"):
        for size, one in FIGURES[of].items():
            cells = (one["microseconds_per_group"], one["memory_mib"], one["late_ms"])
            assert rows[f"{int(size):,}"] == " | ".join(f"{cell:,.0f}" for cell in cells), size
