"""An anchor that is the policy of some steps ago: who scores which step, and what stays for whoever
goes on; the real loop with pretended engines.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import run_config
from stand_ins import Pacing, Rank, Scorer, Stage

from cluster.loop.states import drop_anchors
from cluster.train import train_steps
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.errors import InputError, Stopped
from videothinker.run.directory import WISH, RunDirectory
from videothinker.types import AnchorScores, RolloutGroup

STEPS = 7


class WritingRank(Rank):
    """Whose state is empty, and whose model says after which step it was written."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self._step = 0

    async def publish(self, version: int, _: int) -> int:
        self._step = version - 1  # of a run's first stage
        return version

    async def save_state(self, folder: Path) -> None:
        (folder / "rank_0.json").write_text('{"digests": {}}')

    async def load_state(self, folder: Path) -> None:
        pass

    async def save_model(self, folder: Path, *_: Any) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_text(str(self._step))
        return ""


class Reader(Scorer):
    """Keeps which policies score the groups of which step, and under which view."""

    scored: dict[int, set[tuple[str, ...]]]
    views: set[str]

    def __init__(self) -> None:
        super().__init__(Pacing(0.0))
        self.scored, self.views = {}, set()

    async def load(self, *models: Path) -> None:
        self._models = tuple(read(model) for model in models)

    async def logprobs(self, group: RolloutGroup, *asked: Any) -> AnchorScores:
        self.scored.setdefault(group.weights_version, set()).add(self._models)
        self.views.add(asked[2])
        said = await super().logprobs(group)
        return replace(said, initial_logprobs=said.logprobs if len(self._models) > 1 else None)


def read(model: Path) -> str:
    """After which step; nothing where it is the initial model."""
    return (model / "model.safetensors").read_text()


def configured(folder: Path, save_every: int = 2, **kl: Any) -> RunConfig:
    stage = StageConfig(
        name="grpo",
        questions=folder / "questions.parquet",
        steps=STEPS,
        kl=KLConfig(**{"direction": "repel", "anchor": "policy", "anchor_view": "blind"} | kl),
        guard=GuardConfig(action="off"),
    )
    return run_config(folder, stage, learner=LearnerConfig(save_every=save_every, keep_states=1))


def trained(config: RunConfig, until: int | None = None) -> tuple[Reader, Path]:
    """A run, stopped after some step; who scored, and the stage's folder."""
    reader, run = Reader(), config.out

    def progress(done: int, *_: object) -> None:
        if until is not None and done == until:
            (run / WISH).write_text(json.dumps({"id": "w", "stop": True}))

    stage = Stage(config, learner=lambda _: WritingRank(), anchor=lambda _: reader)
    with closing(stage):
        stage.fleet.learner.start()
        session = stage.session(RunDirectory(run) if run.exists() else RunDirectory.create(run, ""))
        with pytest.raises(Stopped) if until else nullcontext():
            train_steps(session, config.stages[0], progress)  # type: ignore[arg-type]
    (run / WISH).unlink(missing_ok=True)
    return reader, run / "stages" / "grpo"


@pytest.mark.parametrize(
    ("every", "after"),
    [(1, ["", "1", "2", "3", "4", "5", "6"]), (3, ["", "", "", "3", "3", "3", "6"])],
)
def test_a_step_is_scored_by_the_policy_of_as_many_steps_ago_as_is_asked(
    every: int, after: list[str], tmp_path: Path
) -> None:
    reader, _ = trained(configured(tmp_path, anchor_every=every))
    assert reader.scored == {step: {(model,)} for step, model in enumerate(after, start=1)}
    assert reader.views == {"blind"}


def test_the_initial_model_is_asked_beside_it_and_stays(tmp_path: Path) -> None:
    kl = {"direction": "discount", "coefficient": 0.5, "anchor_every": 3}
    reader, _ = trained(configured(tmp_path, **kl))
    after = ["", "", "", "3", "3", "3", "6"]
    assert reader.scored == {step: {(model, "")} for step, model in enumerate(after, start=1)}


@pytest.mark.parametrize("until", [2, 4, 5])
def test_who_goes_on_has_the_same_anchors(until: int, tmp_path: Path) -> None:
    whole, _ = trained(configured(tmp_path / "whole", anchor_every=3))
    config = configured(tmp_path / "stopped", anchor_every=3)
    first, stage = trained(config, until)
    shutil.rmtree(stage / "state" / f"step_{until:06d}")  # a crash, after the state before
    second, _ = trained(config)
    assert set(range(1, until + 1)) <= set(first.scored) <= set(range(1, until + 2))
    assert min(second.scored) <= until
    assert first.scored | second.scored == whole.scored


def anchors(stage: Path) -> list[str]:
    return sorted(read(folder) for folder in (stage / "anchor").glob("step_*"))


def test_what_states_need_stays_and_nothing_else_but_the_newest_two(tmp_path: Path) -> None:
    _, stage = trained(configured(tmp_path, save_every=4, anchor_every=1), until=6)
    shutil.rmtree(stage / "state" / "step_000006")
    assert [state.name for state in (stage / "state").iterdir()] == []  # keep_states is 1
    assert anchors(stage) == ["4", "5", "6"]


def test_a_finished_stage_has_no_anchor_any_more(tmp_path: Path) -> None:
    kl = KLConfig(direction="repel", anchor="policy", anchor_every=2)
    for step in (2, 4, 6):
        (tmp_path / "anchor" / f"step_{step:06d}").mkdir(parents=True)
    drop_anchors(tmp_path, kl, [3, 4])
    assert [folder.name[-1] for folder in sorted((tmp_path / "anchor").iterdir())] == ["2", "4"]
    drop_anchors(tmp_path, kl, [])
    assert list((tmp_path / "anchor").iterdir()) == []


def test_an_anchor_that_is_gone_is_named_with_what_helps(tmp_path: Path) -> None:
    config = configured(tmp_path, anchor_every=3)
    _, stage = trained(config, until=5)
    shutil.rmtree(stage / "anchor" / "step_000003")
    with pytest.raises(InputError, match="step_000003: gone, and the newest state"):
        trained(config)
