"""States on the disk, with a learner that writes two small files; how a run goes on from them."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import run_config

from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.session import Session
from cluster.loop.states import States, damage, newest_state, save_state, state_folder
from learner.rank import file_digest
from videothinker.config.settings import StageConfig
from videothinker.method.paying import Rewards
from videothinker.run.copies import Copying, RunCopy
from videothinker.run.directory import RunDirectory


class TwoRanks:
    """Writes what two ranks would, each its own account of its own file."""

    def save_state(self, folder: Path) -> None:
        for rank in (0, 1):
            shard = folder / "shards" / f"rank_{rank}.pt"
            shard.parent.mkdir(exist_ok=True)
            shard.write_bytes(b"shard" * (rank + 1))
            account = {
                "ranks": 2,
                "zero_stage": 3,
                "weights_version": 7,
                "digests": {f"shards/{shard.name}": file_digest(shard)},
            }
            (folder / f"rank_{rank}.json").write_text(json.dumps(account))


class DiesWhileSaving(TwoRanks):
    def save_state(self, folder: Path) -> None:
        super().save_state(folder)
        raise KeyboardInterrupt


def saved(stage: Path, *steps: int, keep: int = 2) -> list[str]:
    states = States(RunDirectory(stage.parent.parent))
    for step in steps:
        states.save(TwoRanks(), stage.name, step, keep)  # type: ignore[arg-type]
    states.wait()
    return sorted(folder.name for folder in (stage / "state").iterdir())


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """The folder of one of a run's."""
    return tmp_path / "stages" / "grpo"


def test_a_state_says_what_it_holds_and_what_it_fits(stage: Path) -> None:
    saved(stage, 50)
    content = json.loads((stage / "state/step_000050/progress.json").read_text())
    assert content.keys() == {"step", "ranks", "zero_stage", "weights_version", "digests"}
    assert (content["step"], content["ranks"], content["zero_stage"]) == (50, 2, 3)
    assert content["weights_version"] == 7
    assert sorted(content["digests"]) == ["shards/rank_0.pt", "shards/rank_1.pt"]


def test_a_finished_stage_keeps_no_state(stage: Path) -> None:
    saved(stage, 10, 20)
    States(RunDirectory(stage.parent.parent)).drop(stage.name)
    assert newest_state(stage) == (0, None)
    assert list((stage / "state").iterdir()) == []


def test_a_stage_without_states_starts_from_nothing(stage: Path) -> None:
    assert newest_state(stage) == (0, None)


def test_the_newest_state_is_taken(stage: Path) -> None:
    saved(stage, 50, 100)
    assert newest_state(stage) == (100, stage / "state/step_000100")


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_states_are_kept_as_were_asked_for(stage: Path, keep: int) -> None:
    expected = ["step_000010", "step_000020", "step_000030", "step_000040"][-keep:]
    assert saved(stage, 10, 20, 30, 40, keep=keep) == expected


def test_a_process_that_dies_while_saving_leaves_no_state(stage: Path) -> None:
    saved(stage, 10)
    with pytest.raises(KeyboardInterrupt):
        save_state(DiesWhileSaving(), stage, 20)  # type: ignore[arg-type]
    assert newest_state(stage)[0] == 10
    assert [folder.name for folder in (stage / "state").iterdir()] == ["step_000010"]


def test_the_next_state_sweeps_up_what_an_earlier_attempt_left(stage: Path) -> None:
    half = stage / "state" / ".step_000020.0a1b2c3d.partial"
    half.mkdir(parents=True)
    TwoRanks().save_state(half)
    assert saved(stage, 30) == ["step_000030"]


def flip_a_byte(state: Path) -> None:
    shard = state / "shards/rank_1.pt"
    content = bytearray(shard.read_bytes())
    content[3] ^= 1
    shard.write_bytes(content)


def cut_short(state: Path) -> None:
    (state / "progress.json").write_text('{"step": 2')


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (flip_a_byte, "shards/rank_1.pt is not as it was written"),
    (lambda state: (state / "shards/rank_0.pt").unlink(), "shards/rank_0.pt is missing"),
    (lambda state: (state / "progress.json").unlink(), "progress.json is missing"),
    (cut_short, "progress.json is damaged"),
    (lambda state: (state / "progress.json").write_text('{"step": 20}'), "progress.json is dam"),
    (lambda state: (state / "progress.json").write_text("[" * 100_000), "progress.json is dam"),
    (lambda state: (state / "progress.json").write_text('{"digests": 7}'), "progress.json is dam"),
    (
        lambda state: (state / "shards/rank_0.pt").write_bytes(pickle.dumps(print)),
        "shards/rank_0.pt is not as it was written",
    ),
]


@pytest.mark.parametrize(("harm", "message"), DAMAGE)
def test_a_damaged_state_is_passed_over_for_an_older_one_and_named(
    stage: Path,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path], None],
    message: str,
) -> None:
    saved(stage, 10, 20)
    harm(stage / "state/step_000020")
    assert newest_state(stage) == (10, stage / "state/step_000010")
    assert f"{stage}/state/step_000020 is passed over: {message}" in caplog.text


def test_an_undamaged_state_is_taken_without_a_word(
    stage: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(stage, 10)
    assert damage(stage / "state/step_000010") is None
    newest_state(stage)
    assert not caplog.text


def test_damaged_states_do_not_push_good_ones_out(stage: Path) -> None:
    saved(stage, 10, 20)
    flip_a_byte(stage / "state/step_000020")
    assert saved(stage, 15) == ["step_000010", "step_000015"]


def test_a_step_saved_again_replaces_its_damaged_state(stage: Path) -> None:
    saved(stage, 10, 20)
    flip_a_byte(stage / "state/step_000020")
    saved(stage, 20)
    assert newest_state(stage)[0] == 20


def damage_at_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The disk keeps a state of this name otherwise than it was written."""

    def lying(learner: Any, stage: Path, step: int) -> Path:
        state = save_state(learner, stage, step)
        if state.name == name:
            flip_a_byte(state)
        return state

    monkeypatch.setattr("cluster.loop.states.save_state", lying)


def test_a_state_that_the_disk_has_not_as_it_was_written_is_said_at_once_and_does_not_count(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    damage_at_once(monkeypatch, "step_000030")
    stage = run.path / "stages/grpo"
    assert saved(stage, 30, keep=1) == ["step_000010", "step_000020", "step_000030"]
    assert f"{stage}/state/step_000030: shards/rank_1.pt is not as it was written" in caplog.text
    status = json.loads((run.path / "status.json").read_text())
    assert status["damaged"]["state"] == "stages/grpo/state/step_000030"


def test_a_damaged_state_makes_room_for_the_next_one(
    stage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_at_once(monkeypatch, "step_000020")
    assert saved(stage, 10, 20, 30) == ["step_000010", "step_000030"]


def test_a_file_that_cannot_be_read_is_damage(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(stage, 10)

    def broken(*_: object, **__: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("cluster.loop.states.file_digest", broken)
    flaw = damage(stage / "state/step_000010")
    assert flaw == "shards/rank_0.pt cannot be read (Input/output error)"


def test_the_newest_good_state_is_copied_and_a_damaged_one_is_not(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address, stage = f"file://{tmp_path}/copy", run.stage("grpo")
    states = States(run, Copying(run.path, address))

    def copied(step: int) -> list[str]:
        states.save(TwoRanks(), "grpo", step, 2)  # type: ignore[arg-type]
        states.rest(state_folder(stage, step))
        newest = RunCopy(address).newest() or {"files": {}}
        return [name for name in newest["files"] if name.endswith("rank_0.pt")]

    assert copied(30) == ["stages/grpo/state/step_000030/shards/rank_0.pt"]
    damage_at_once(monkeypatch, "step_000040")
    assert copied(40) == ["stages/grpo/state/step_000030/shards/rank_0.pt"]
    states.drop("grpo")
    states.rest(None)
    newest = RunCopy(address).newest()
    assert newest is not None
    assert not [name for name in newest["files"] if "/state/" in name]
    assert not list((stage / "state").iterdir())


class Everybody:
    """A fleet, and each role of it, that takes everything in; keeps the state it went on from."""

    def __init__(self) -> None:
        self.loaded: list[Path] = []
        self.learner = self.rollouts = self.anchor = self

    def start_stage(self, assignment: object) -> None: ...

    def load(self, *models: Path) -> None: ...

    def publish(self, version: int) -> None: ...

    def load_state(self, folder: Path) -> None:
        self.loaded.append(folder)


def begin(run: RunDirectory) -> tuple[list[Path], dict[str, Any]]:
    """Begin the stage `grpo` of a run again: the states loaded, and what status.json then says."""
    stage = StageConfig(name="grpo", questions=run.path / "none.parquet")
    config = run_config(run.path, stage)
    (run.path / "summary.json").write_text('{"models": [{"name": "base"}]}')
    fakes = Everybody()
    Session(
        config=config,
        fleet=fakes,  # type: ignore[arg-type]
        run=run,
        lineage=Lineage(run, config),
        ledger=Ledger(run, 0.1),
        rewards=Rewards(config.rewards),
        states=States(run),
    ).begin(stage)
    return fakes.loaded, json.loads((run.path / "status.json").read_text())


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run that was stopped with two states of its stage."""
    run = RunDirectory.create(tmp_path / "run", "")
    saved(run.stage("grpo"), 10, 20)
    return run


def test_status_names_the_states_that_a_resumed_run_passed_over(run: RunDirectory) -> None:
    flip_a_byte(run.path / "stages/grpo/state/step_000020")
    loaded, status = begin(run)
    assert loaded == [run.path / "stages/grpo/state/step_000010"]
    assert status["passed_over"] == [
        {
            "state": "stages/grpo/state/step_000020",
            "reason": "shards/rank_1.pt is not as it was written",
        }
    ]


def test_a_stage_whose_states_are_all_damaged_starts_again_and_says_so(run: RunDirectory) -> None:
    for state in (run.path / "stages/grpo/state").iterdir():
        cut_short(state)
    loaded, status = begin(run)
    assert (loaded, status["step"]) == ([], 0)
    assert [entry["state"][-6:] for entry in status["passed_over"]] == ["000020", "000010"]


def test_a_run_that_resumes_from_its_newest_state_mentions_no_other(run: RunDirectory) -> None:
    loaded, status = begin(run)
    assert loaded == [run.path / "stages/grpo/state/step_000020"]
    assert "passed_over" not in status
