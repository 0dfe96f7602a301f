"""What reaches the learner, whatever happens on the way: the real loop with pretended engines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray.exceptions import ObjectLostError
from stand_ins import Engine, Pacing, Rank, Sampler, Scorer, Stage

from videothinker.config import (
    ClusterConfig,
    DataConfig,
    FaultsConfig,
    GuardConfig,
    KLConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    StageConfig,
)
from videothinker.errors import Lost
from videothinker.run import read_lines
from videothinker.types import AnchorScores, RolloutGroup


def config(folder: Path) -> RunConfig:
    stage = StageConfig(
        name="cdpo",
        questions=folder / "questions.parquet",
        steps=4,
        prompts_per_step=6,
        kl=KLConfig(direction="repel", anchor="base"),
        guard=GuardConfig(action="off"),
    )
    return RunConfig(
        name="supply",
        out=folder / "run",
        model=ModelConfig(path=folder / "model"),
        data=DataConfig(videos=folder),
        rollout=RolloutConfig(workers=2, prompts_together=2),
        cluster=ClusterConfig(device="cpu"),
        faults=FaultsConfig(heartbeat_seconds=0.02, silent_seconds=0.5, backoff_seconds=0),
        stages=(stage,),
    )


def trained(folder: Path, **engines: Callable[[str], Engine]) -> list[str]:
    """The prompts of every step in order, as they stand on the disk after training."""
    run = Stage(config(folder), **engines)
    try:
        directory = run.train(lambda *_: None)
    finally:
        run.close()
    files = sorted((directory.path / "rollouts").glob("*.parquet"))
    return [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    prompts = trained(tmp_path_factory.mktemp("undisturbed"))
    assert len(set(prompts)) == 24
    return prompts


class Machine:
    """Holds prompts, and goes down when the first is asked for after so many were."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._held: list[Any] = []
        self._gone: list[Any] = []

    def fetch(self, prompt: Any) -> None:
        """Raises what Ray does where the prompt went down with the machine."""
        if any(prompt is lost for lost in self._gone):
            raise ObjectLostError("ref", None, "call site")  # type: ignore[arg-type]
        self._held.append(prompt)
        if len(self._held) == self._after:
            self._gone = [*self._held, prompt]
            raise ObjectLostError("ref", None, "call site")  # type: ignore[arg-type]


class FetchingSampler(Sampler):
    def __init__(self, name: str, machine: Machine) -> None:
        super().__init__(name, Pacing(0.0))
        self._machine = machine

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            self._machine.fetch(arguments[4 + index])
            yield index, group


class FetchingScorer(Scorer):
    def __init__(self, machine: Machine) -> None:
        super().__init__(Pacing(0.0))
        self._machine = machine

    async def logprobs(self, group: RolloutGroup, *rest: Any) -> AnchorScores:
        self._machine.fetch(rest[0])
        return await super().logprobs(group)


@pytest.mark.parametrize("after", [1, 2, 9, 10])
def test_prompts_that_were_lost_with_a_machine_are_made_again_and_trained_once(
    tmp_path: Path, undisturbed: list[str], after: int
) -> None:
    machine = Machine(after)
    assert trained(tmp_path, rollout=lambda name: FetchingSampler(name, machine)) == undisturbed
    assert machine._gone
    assert read_lines(tmp_path / "run" / "skipped.jsonl") == []


@pytest.mark.parametrize("after", [1, 9])
def test_prompts_that_are_lost_before_they_are_scored_are_made_again(
    tmp_path: Path, undisturbed: list[str], after: int
) -> None:
    machine = Machine(after)
    assert trained(tmp_path, anchor=lambda _: FetchingScorer(machine)) == undisturbed
    assert machine._gone


class NeverSampling(Sampler):
    def __init__(self, name: str) -> None:
        super().__init__(name, Pacing(60.0))


class Dying(Rank):
    """Stops giving signs of life once it has published."""

    published = False

    async def publish(self, version: int) -> int:
        self.published = True
        return version

    async def pulse(self) -> str:
        if self.published:
            await asyncio.sleep(60)
        return "idle"


def test_a_step_whose_groups_never_come_ends_when_the_learner_is_lost(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Lost, match=r"^learner-0, .*no sign of life"):
        trained(tmp_path, rollout=NeverSampling, learner=lambda _: Dying(0.0))
    assert time.monotonic() - started < 20
