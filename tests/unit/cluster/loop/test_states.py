"""States on the disk, with a learner that writes two small files; how a run goes on from them."""

from __future__ import annotations

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
from cluster.loop.states import damage, drop_states, newest_state, save_state
from learner.rank import file_digest
from videothinker.config.settings import StageConfig
from videothinker.method.paying import Rewards
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
    for step in steps:
        save_state(TwoRanks(), stage, step, keep)  # type: ignore[arg-type]
    return sorted(folder.name for folder in (stage / "state").iterdir())


def test_a_state_says_what_it_holds_and_what_it_fits(tmp_path: Path) -> None:
    saved(tmp_path, 50)
    content = json.loads((tmp_path / "state/step_000050/progress.json").read_text())
    assert content.keys() == {"step", "ranks", "zero_stage", "weights_version", "digests"}
    assert (content["step"], content["ranks"], content["zero_stage"]) == (50, 2, 3)
    assert content["weights_version"] == 7
    assert sorted(content["digests"]) == ["shards/rank_0.pt", "shards/rank_1.pt"]


def test_a_finished_stage_keeps_no_state(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20)
    drop_states(tmp_path)
    assert newest_state(tmp_path) == (0, None)
    assert list((tmp_path / "state").iterdir()) == []


def test_a_stage_without_states_starts_from_nothing(tmp_path: Path) -> None:
    assert newest_state(tmp_path) == (0, None)


def test_the_newest_state_is_taken(tmp_path: Path) -> None:
    saved(tmp_path, 50, 100)
    assert newest_state(tmp_path) == (100, tmp_path / "state/step_000100")


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_states_are_kept_as_were_asked_for(tmp_path: Path, keep: int) -> None:
    expected = ["step_000010", "step_000020", "step_000030", "step_000040"][-keep:]
    assert saved(tmp_path, 10, 20, 30, 40, keep=keep) == expected


def test_a_process_that_dies_while_saving_leaves_no_state(tmp_path: Path) -> None:
    saved(tmp_path, 10)
    with pytest.raises(KeyboardInterrupt):
        save_state(DiesWhileSaving(), tmp_path, 20, 2)  # type: ignore[arg-type]
    assert newest_state(tmp_path)[0] == 10
    assert [folder.name for folder in (tmp_path / "state").iterdir()] == ["step_000010"]


def test_the_next_state_sweeps_up_what_an_earlier_attempt_left(tmp_path: Path) -> None:
    half = tmp_path / "state" / ".step_000020.0a1b2c3d.partial"
    half.mkdir(parents=True)
    TwoRanks().save_state(half)
    assert saved(tmp_path, 30) == ["step_000030"]


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
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    harm: Callable[[Path], None],
    message: str,
) -> None:
    saved(tmp_path, 10, 20)
    harm(tmp_path / "state/step_000020")
    assert newest_state(tmp_path) == (10, tmp_path / "state/step_000010")
    assert f"{tmp_path}/state/step_000020 is passed over: {message}" in caplog.text


def test_an_undamaged_state_is_taken_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 10)
    assert damage(tmp_path / "state/step_000010") is None
    newest_state(tmp_path)
    assert not caplog.text


def test_damaged_states_do_not_push_good_ones_out(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20)
    flip_a_byte(tmp_path / "state/step_000020")
    assert saved(tmp_path, 15) == ["step_000010", "step_000015"]


def test_a_step_saved_again_replaces_its_damaged_state(tmp_path: Path) -> None:
    saved(tmp_path, 10, 20)
    flip_a_byte(tmp_path / "state/step_000020")
    saved(tmp_path, 20)
    assert newest_state(tmp_path)[0] == 20


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
