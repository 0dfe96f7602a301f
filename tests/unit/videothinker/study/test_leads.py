"""What the pages say of the leads is what their results hold, and these are of today's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from videothinker.study.checks import load_study
from videothinker.study.results import digest_of

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "study.md").read_text()
KINDS = ("observational", "inferential", "overall")


@pytest.fixture(scope="module")
def leads() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs/study/leads/results.json").read_text())
    return found


def test_they_are_of_the_configuration_that_stands_there(leads: dict[str, Any]) -> None:
    assert leads["config"] == digest_of(load_study(ROOT / "configs" / "study-leads.yaml"))
    assert leads["missing"] == []


def test_a_row_is_its_arms_cells_and_pull(leads: dict[str, Any]) -> None:
    arms = [name for name in leads["arms"] if name not in ("base", "bias")]
    assert len(arms) == 13
    for arm in arms:
        columns = [
            "; ".join(
                " / ".join(
                    f"{leads['cells'][f'{start}-seed{seed}']['arms'][arm][kind]:.2f}"
                    for kind in KINDS
                )
                for seed in leads["seeds"]
            )
            for start in ("shipped", "base2")
        ]
        pull = f"{1000 * leads['pull'][arm]['all']:+.1f}"
        assert f"| `{arm}` | {columns[0]} | {columns[1]} | {pull} |" in PAGE


def test_a_discount_grows_with_its_coefficient(leads: dict[str, Any]) -> None:
    pulls = [leads["pull"][arm]["all"] for arm in ("discount_2", "discount_4", "discount_8")]
    assert leads["pull"]["grpo"]["all"] < 0 < pulls[0] < pulls[1] < pulls[2]
