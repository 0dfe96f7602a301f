"""The check of a GPU can run: its parts at small sizes on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_check.__main__ import PARTS

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


def test_every_part_runs_on_a_cpu_and_finds_it_well(tmp_path: Path) -> None:
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gpu_check",
            "--device",
            "cpu",
            "--patience",
            "4",
            "--out",
            tmp_path,
        ],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu-check.json").read_text())
    assert [one["part"] for one in found["parts"]] == [part.module for part in PARTS]
    assert (tmp_path / "gpu-check.md").read_text().count("| pass |") == len(PARTS)
