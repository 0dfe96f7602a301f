from __future__ import annotations

import json
from pathlib import Path

from cluster.pool import Notice
from cluster.roster import Roster
from videothinker.run import RunDirectory


def lose(run: RunDirectory, role: str) -> None:
    roster = Roster(run)
    roster.joined(f"{role}-0", port=1)
    roster.notice(Notice(role=role, worker=f"{role}-0", event="lost", reason="killed"))


def test_a_resumed_run_goes_on_counting_losses(tmp_path: Path) -> None:
    lose(RunDirectory.create(tmp_path / "run", ""), "rollout")
    lose(RunDirectory.open(tmp_path / "run"), "rollout")
    lose(RunDirectory.open(tmp_path / "run"), "learner")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["restarts"] == {"rollout": 2, "learner": 1}


def test_the_status_says_who_sits_where(tmp_path: Path) -> None:
    seating = {"kind": "split", "learner": ["GPU 0"], "rollout": ["GPU 1"], "anchor": ["GPU 1"]}
    Roster(RunDirectory.create(tmp_path / "run", "")).seated(seating)
    assert json.loads((tmp_path / "run" / "status.json").read_text())["layout"] == seating
