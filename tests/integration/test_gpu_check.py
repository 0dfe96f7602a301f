"""The check of a GPU can run: its parts at small sizes on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_check.running import PARTS

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


LONGEST = ("agreement", "in_flight", "stages")
"""They ask in small what test_engine.py, test_in_flight.py and test_stages.py ask."""
NAMES = [part.module for part in PARTS]


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([name for name in NAMES if name not in LONGEST], id="short"),
        pytest.param(NAMES, id="all", marks=pytest.mark.slow),
    ],
)
def test_every_part_runs_on_a_cpu_and_finds_it_well(parts: list[str], tmp_path: Path) -> None:
    """In every run without the longest; that these can run is seen with `-m slow`."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    words = ("--device", "cpu", "--patience", "4", "--out", str(tmp_path), *parts)
    done = subprocess.run(
        [sys.executable, "-m", "gpu_check", *words],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    page = (tmp_path / "gpu-check.md").read_text()
    assert done.returncode == 0, done.stdout + done.stderr + page
    found = json.loads((tmp_path / "gpu-check.json").read_text())["parts"]
    assert [one["part"] for one in found] == parts
    assert [one["verdict"] for one in found] == ["pass"] * len(parts)
    assert all(f"| {one['part']} | pass | {one['said']} | {one['goal']} |" in page for one in found)
