"""A stop ends the loop between two steps, with a state of the step before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import run_config
from stand_ins import Rank, Stage

from cluster.loop.states import newest_state
from cluster.start.scaling import Scaling
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import GuardConfig, StageConfig
from videothinker.errors import Stopped
from videothinker.files import atomic_write, read_lines
from videothinker.run.directory import WISH, RunDirectory


class SavingRank(Rank):
    """Whose part of a state is empty."""

    async def save_state(self, folder: Path) -> None:
        (folder / "rank_0.json").write_text('{"digests": {}}')

    async def load_state(self, folder: Path) -> None:
        pass


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    grpo = StageConfig(
        name="grpo",
        questions=tmp_path / "questions.parquet",
        steps=6,
        guard=GuardConfig(action="off"),
    )
    config = run_config(tmp_path, grpo, learner=LearnerConfig(save_every=2))
    stage = Stage(config, learner=lambda _: SavingRank(0.0))
    stage.fleet.learner.start()
    yield stage
    stage.close()


def stop_after(run: Path, step: int) -> Callable[..., None]:
    """Asks for a stop when so many steps are done."""

    def progress(done: int, *_: object) -> None:
        if done == step:
            (run / WISH).write_text(json.dumps({"id": "w", "stop": True}))

    return progress


@pytest.mark.parametrize("step", [2, 3])  # when a state is due anyway, and when none is
def test_a_stop_ends_with_a_state_of_the_last_step(stage: Stage, step: int) -> None:
    run = stage.config.out
    with pytest.raises(Stopped, match=f"stopped after step {step} of stage grpo"):
        stage.train(stop_after(run, step))
    assert [line["step"] for line in read_lines(run / "metrics.jsonl")] == [*range(1, step + 1)]
    done, state = newest_state(run / "stages" / "grpo")
    assert (done, state is None) == (step, False)
    assert json.loads((run / "status.json").read_text())["control"]["id"] == "w"


def test_a_stop_before_the_first_step_needs_no_state(stage: Stage) -> None:
    run = stage.config.out
    with pytest.raises(Stopped, match="before the first step"):
        stage.train(stop_after(run, 0))
    assert newest_state(run / "stages" / "grpo") == (0, None)


def test_a_scaling_stops_nothing(stage: Stage) -> None:
    def scaling(done: int, *_: object) -> None:
        (stage.config.out / WISH).write_text('{"id": "w", "rollouts": 2, "scorers": null}')

    run = stage.train(scaling)
    assert len(read_lines(run.path / "metrics.jsonl")) == 6


def test_a_stop_is_answered_at_once_by_the_workers_that_there_are(stage: Stage) -> None:
    """For file systems without locks, where an answer is all that tells of a live driver."""
    run = RunDirectory.create(stage.config.out, "")
    stage.background.start(Scaling(stage.config, run).follow(stage.fleet))
    atomic_write(run.path / WISH, json.dumps({"id": "w", "stop": True}))
    deadline = time.monotonic() + 10
    while not (answer := run.status().get("control")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer == {"id": "w", "rollouts": 1, "scorers": 0}
