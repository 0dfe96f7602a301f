from __future__ import annotations

import json
from pathlib import Path

from cluster.start.roster import Roster
from cluster.workers.pool import Notice
from videothinker.run.directory import RunDirectory


def lose(run: RunDirectory, role: str) -> None:
    roster = Roster(run)
    roster.joined(f"{role}-0", ("127.0.0.1", 1))
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


def targets(run: RunDirectory) -> list[dict[str, object]]:
    return json.loads((run.path / "prometheus_targets.json").read_text())


def test_prometheus_finds_each_process_under_its_run_role_and_number(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    roster = Roster(run)
    roster.joined("rollout-1", ("10.0.0.7", 4711))
    driver, rollout = targets(run)
    assert driver["labels"] == {"run": "run", "role": "driver", "index": "0"}
    assert rollout == {
        "targets": ["10.0.0.7:4711"],
        "labels": {"run": "run", "role": "rollout", "index": "1"},
    }


def test_who_has_left_and_a_run_that_is_over_are_no_targets(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    roster = Roster(run)
    roster.joined("rollout-0", ("127.0.0.1", 1))
    roster.joined("learner-0", ("127.0.0.1", 2))
    roster.notice(Notice(role="rollout", worker="rollout-0", event="left"))
    roster.notice(Notice(role="learner", worker="learner-0", event="released"))
    assert [entry["labels"]["role"] for entry in targets(run)] == ["driver"]
    roster.close()
    assert targets(run) == []
