"""A run that draws on for groups that teach nothing, and is killed twice, trains the same groups as
one that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_process import MARK, Command, living, wait_for
from same_training import asked_order, largest_difference, untimed

from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.session import Session
from cluster.loop.states import States
from cluster.start.launch import launch
from cluster.train import train_stage
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.files import read_lines
from videothinker.method.paying import Rewards
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory

STEPS, SIZE, REFILL = 24, 2, 2


@pytest.fixture(scope="module")
def config(run_config: RunConfig) -> RunConfig:
    """Groups so small that many are of equal rewards; a state every fourth step; nothing else is
    asked of the engines.
    """
    questions = run_config.stages[1].questions
    update = {"steps": STEPS, "prompts_per_step": SIZE, "questions": questions}
    sampling = {"group_size": 5, "refill": REFILL}
    return run_config.model_copy(
        update={
            "stages": (run_config.stages[0].model_copy(update=update),),
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "sampling": run_config.sampling.model_copy(update=sampling),
            "learner": run_config.learner.model_copy(update={"save_every": 4}),
        }
    )


def drawn(run: Path) -> list[dict[str, Any]]:
    return read_lines(run / "stages" / "bias" / "draws.jsonl")


def moments() -> list[int]:
    """Steps at which to kill: none of the last, and each of them later than a state."""
    return [random.randint(5, 9), random.randint(14, 18)]


class Killer(Thread):
    """Kills the learner's rank whenever a run has drawn so far."""

    def __init__(self, run: Path, mark: str) -> None:
        super().__init__(daemon=True)
        self.killed: list[int] = []
        self._run, self._mark = run, mark

    def run(self) -> None:
        for at in moments():
            while len(drawn(self._run)) < at:
                time.sleep(0.05)
            time.sleep(random.random() / 4)
            for pid in living(self._mark):
                if b"ray::LearnerRank" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)


@pytest.fixture(scope="module")
def runs(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Undisturbed, and with its learner killed at two moments, by the same engines."""
    folder, mark, stage = tmp_path_factory.mktemp("refill"), uuid.uuid4().hex, config.stages[0]
    whole, killed = (folder / name for name in ("whole", "killed"))
    with pytest.MonkeyPatch.context() as patch, closing(Rewards(config.rewards)) as rewards:
        patch.setenv(MARK, mark)
        with launch(config, RunDirectory.create(folder / "fleet", "")) as fleet:
            killer = Killer(killed, mark)
            for out in (whole, killed):
                run = RunDirectory.create(out, to_yaml(config))
                if out == killed:
                    killer.start()
                session = Session(
                    config=config,
                    fleet=fleet,
                    run=run,
                    lineage=Lineage(run, config),
                    ledger=Ledger(run, 0.0),
                    rewards=rewards,
                    states=States(run),
                )
                train_stage(session, stage)
    assert len(killer.killed) == 2
    return whole, killed


def groups(run: Path) -> list[tuple[int, str, bool, list[list[int]]]]:
    """Of every Parquet file: step, question, whether it was left out, and what was said."""
    rows = [
        row
        for file in sorted((run / "rollouts").glob("*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    return [(row["step"], row["prompt_id"], row["left_out"], row["token_ids"]) for row in rows]


def require_same(whole: Path, killed: Path) -> None:
    """To the last bit."""
    assert drawn(killed) == drawn(whole)
    assert groups(killed) == groups(whole)
    assert untimed(killed) == untimed(whole)
    models = [run / "stages" / "bias" / "model" for run in (whole, killed)]
    assert largest_difference(*models) == 0


def test_it_trains_the_same_groups_to_the_same_weights(runs: tuple[Path, Path]) -> None:
    require_same(*runs)


@pytest.mark.parametrize("which", [0, 1])
def test_no_prompt_is_lost_or_doubled(
    runs: tuple[Path, Path], which: int, config: RunConfig
) -> None:
    lines, found = drawn(runs[which]), groups(runs[which])
    assert [line["step"] for line in lines] == [*range(1, STEPS + 1)]
    total = sum(line["drawn"] for line in lines)
    [order] = asked_order(config.stages[0].questions, config.seed, 1, total)
    position = 0
    for line in lines:
        assert line["first"] == position
        position += line["drawn"]
        trained, out = line["trained"], [one["question_id"] for one in line["left_out"]]
        assert sorted(trained + out) == sorted(order[line["first"] : position])
        there = [group for group in found if group[0] == line["step"]]
        assert [one[1] for one in there] == trained + out
        assert [one[1] for one in there if one[2]] == out
    assert len(found) == total


def test_it_draws_on_until_a_step_is_full_or_its_budget_spent(runs: tuple[Path, Path]) -> None:
    lines = drawn(runs[0])
    assert len({line["drawn"] for line in lines}) > 1, "otherwise this tests nothing"
    for line in lines:  # no question failed
        assert len(line["trained"]) == SIZE or line["drawn"] == SIZE + REFILL
    for line in read_lines(runs[0] / "metrics.jsonl"):
        assert line["equal_reward_groups"] == line["left_out"] / line["drawn"]


@pytest.mark.slow  # four starts of all processes; what they find on the disk: loop/test_refill.py
def test_so_does_one_all_of_whose_processes_are_killed_twice(
    config: RunConfig, tmp_path: Path
) -> None:
    file, whole, killed = (tmp_path / name for name in ("config.yaml", "whole", "killed"))
    file.write_text(to_yaml(config))
    code, _, err = Command("train", file, f"out={whole}").finish()
    assert code == 0, err
    for at in moments():
        victim = Command("train", file, f"out={killed}")
        wait_for(lambda at=at: len(drawn(killed)) >= at, victim)  # type: ignore[misc]
        for pid in victim.living():
            os.kill(pid, signal.SIGKILL)
        victim.finish()
        assert not (killed / "stages" / "bias" / "model").exists(), "it was over before"
    code, _, err = Command("train", "--resume", killed).finish()
    assert code == 0, err
    require_same(whole, killed)
