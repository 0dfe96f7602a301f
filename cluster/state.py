"""A stage's resumable states: `state/step_000050/`, complete or absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from cluster.fleet import Learner

KEPT = 2


def save_state(learner: Learner, stage: Path, step: int) -> None:
    """Let every rank write its part, then give the folder its name."""
    folder = stage / "state" / f"step_{step:06d}"
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    learner.save_state(partial)
    (partial / "progress.json").write_text(json.dumps({"step": step}) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    for old in sorted(folder.parent.glob("step_*"))[:-KEPT]:
        shutil.rmtree(old)


def newest_state(stage: Path) -> tuple[int, Path | None]:
    """The steps done and their folder; (0, None) where there is none."""
    folders = sorted((stage / "state").glob("step_*"))
    if not folders:
        return 0, None
    return int(json.loads((folders[-1] / "progress.json").read_text())["step"]), folders[-1]
