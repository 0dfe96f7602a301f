"""The whole system, as `videothinker train` starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

Line = dict[str, Any]
"""Of metrics.jsonl."""


def train(settings: dict[str, Any], file: Path) -> list[Line]:
    """Train what the settings say, kept in this file; the run's steps."""
    file.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [sys.executable, "-m", "videothinker", "train", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return steps(Path(settings["out"]))


def steps(run: Path) -> list[Line]:
    """Of a run so far."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
