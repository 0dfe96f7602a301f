"""Which questions are drawn, with real engines: a stage that asks its base what it gets wrong, and
one that lets questions rest, whose learner is killed on the way."""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_process import MARK, living
from same_training import largest_difference, untimed

from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.session import Session
from cluster.loop.states import States
from cluster.start.launch import launch
from cluster.train import train_stage
from videothinker.config.draw import DrawConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.files import read_json, read_lines
from videothinker.method.paying import Rewards
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory

pytestmark = (
    pytest.mark.slow
)  # in every run, with pretended engines: unit/cluster/loop/test_*_drawn.py

SIZE, COUNT, STEPS = 2, 8, 12


def config_of(run_config: RunConfig) -> RunConfig:
    """Groups so small that many are right or wrong all alike; nothing else is asked."""
    usual = run_config.stages[1].model_copy(
        update={"prompts_per_step": SIZE, "limit": COUNT, "kl": run_config.stages[0].kl}
    )
    own = {"name": "errors", "steps": 2, "draw": DrawConfig(by="errors", of="base")}
    rest = {"name": "rests", "steps": STEPS, "draw": DrawConfig(by="difficulty", rest=1)}
    return run_config.model_copy(
        update={
            "stages": (usual.model_copy(update=own), usual.model_copy(update=rest)),
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "data": run_config.data.model_copy(update={"validation": None}),
            "sampling": run_config.sampling.model_copy(update={"group_size": 4}),
            "learner": run_config.learner.model_copy(update={"save_every": 3}),
        }
    )


def drawn(run: Path) -> list[dict[str, Any]]:
    return read_lines(run / "stages" / "rests" / "draws.jsonl")


def groups(run: Path) -> list[tuple[int, str, list[list[int]]]]:
    """Of every file of the second stage: step, question and what was said."""
    files = sorted((run / "rollouts").glob("rests-*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [(row["step"], row["prompt_id"], row["token_ids"]) for row in rows]


def figures(run: Path) -> list[dict[str, Any]]:
    return [line for line in untimed(run) if line["stage"] == "rests"]


@pytest.fixture(scope="module")
def runs(run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Undisturbed, and the second stage alone with its learner killed in the 8th step, by the same
    engines.
    """
    folder, mark, config = tmp_path_factory.mktemp("draws"), uuid.uuid4().hex, config_of(run_config)
    whole, killed = (folder / name for name in ("whole", "killed"))
    due, keep_draws = [8], Session.keep_draws

    def then_kill(session: Session, stage: StageConfig, step: int, batch: Any) -> None:
        keep_draws(session, stage, step, batch)
        if session.run.path == killed and stage.name == "rests" and due[:1] == [step]:
            due.pop(0)
            for pid in living(mark):
                if b"ray::LearnerRank" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch, closing(Rewards(config.rewards)) as rewards:
        patch.setenv(MARK, mark)
        patch.setattr(Session, "keep_draws", then_kill)
        with launch(config, RunDirectory.create(folder / "fleet", "")) as fleet:
            for out in (whole, killed):
                run = RunDirectory.create(out, to_yaml(config))
                session = Session(
                    config=config,
                    fleet=fleet,
                    run=run,
                    lineage=Lineage(run, config),
                    ledger=Ledger(run, 0.0),
                    rewards=rewards,
                    states=States(run),
                )
                for stage in config.stages if out == whole else config.stages[1:]:
                    train_stage(session, stage)
    assert due == []
    return whole, killed


def test_killed_or_not_the_same_questions_are_drawn_to_the_same_weights(
    runs: tuple[Path, Path],
) -> None:
    whole, killed = runs
    assert drawn(killed) == drawn(whole)
    assert groups(killed) == groups(whole)
    assert figures(killed) == figures(whole)
    models = [run / "stages" / "rests" / "model" for run in runs]
    assert largest_difference(*models) == 0


def test_some_rest_and_come_back(runs: tuple[Path, Path]) -> None:
    lines = [one for one in read_lines(runs[0] / "metrics.jsonl") if one["stage"] == "rests"]
    assert lines[0]["resting"] == 0
    assert max(line["resting"] for line in lines) > 0, "otherwise this tests nothing"
    shares = [share for line in drawn(runs[0]) for share in line["right"]]
    assert {share * 4 for share in shares} <= {0, 1, 2, 3, 4}
    assert any(0 < share < 1 for share in shares)


def test_the_base_is_asked_what_it_gets_wrong_and_that_is_drawn(runs: tuple[Path, Path]) -> None:
    known = read_json(runs[0] / "summary.json")["draws"]["errors"]
    assert known["questions"] == COUNT
    assert 0 < known["wrong"] < COUNT, "otherwise this tests nothing"
    judged = pq.read_table(runs[0] / "stages" / "errors" / "judged.parquet", columns=["id"])
    assert judged.num_rows == 4 * COUNT
    lines = [one for one in read_lines(runs[0] / "metrics.jsonl") if one["stage"] == "errors"]
    assert [line["asked_wrong"] for line in lines] == [0.5, 0.5]
