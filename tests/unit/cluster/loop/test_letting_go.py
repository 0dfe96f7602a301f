"""Prompts are in the object store for as long as somebody may still read them, and no longer."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from builders import run_config
from stand_ins import TEXTS, Pacing, Rank, Reference, Sampler, Stage

from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import (
    GuardConfig,
    RolloutConfig,
    RunConfig,
    SamplingConfig,
    StageConfig,
)
from videothinker.types import LearnerReport, Question, RolloutGroup

STEPS, SIZE = 4, 4


def config(
    folder: Path, *, staleness: int = 0, overlap: bool = False, refill: int = 0
) -> RunConfig:
    stage = StageConfig(
        name="bias",
        questions=folder / "questions.parquet",
        steps=STEPS,
        prompts_per_step=SIZE,
        guard=GuardConfig(action="off"),
    )
    rollout = RolloutConfig(max_staleness=staleness)
    sampling, learner = SamplingConfig(refill=refill), LearnerConfig(overlap=overlap)
    return run_config(folder, stage, rollout=rollout, sampling=sampling, learner=learner)


class Watching(Rank):
    """Looks, whenever its weights are asked for, which prompts of the step before still exist."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.read: list[ref[Reference]] = []
        self.left: list[int] = []
        self._step = 0

    async def gather(self, step: int, *given: Any) -> None:
        self._note(step, given)
        await super().gather(step)

    async def step(self, step: int, *given: Any) -> LearnerReport:
        self._note(step, given)
        assert len(self.read) == SIZE
        return await super().step(step)

    def _note(self, step: int, given: tuple[Any, ...]) -> None:
        if step != self._step:
            self._step, self.read = step, []
        self.read += [ref(one) for one in given if isinstance(one, Reference)]

    async def publish(self, version: int, _: int) -> int:
        if self.read:
            self.left.append(sum(one() is not None for one in self.read))
        return version


@pytest.fixture(autouse=True)
def counted_alone() -> Iterator[None]:
    """What is in no circle is gone at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("staleness", "overlap"), [(0, False), (2, False), (0, True)])
def test_what_the_learner_has_read_is_gone_before_its_weights_are_published(
    tmp_path: Path, staleness: int, overlap: bool
) -> None:
    rank, settings = Watching(), config(tmp_path, staleness=staleness, overlap=overlap)
    with closing(Stage(settings, learner=lambda _: rank)) as run:
        run.train(lambda *_: None)
    assert rank.left == [0] * STEPS


class Settled(Sampler):
    """All but the last question of a unit teach nothing; looks at each who of those is there."""

    def __init__(self, name: str) -> None:
        super().__init__(name, Pacing(0.0))
        self.settled = set[str]()
        self.seen: list[set[str]] = []

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        held = [one[0] for one in gc.get_objects() if isinstance(one, Reference)]
        there = {one.id for one in held if isinstance(one, Question)}
        self.seen.append(there & self.settled)
        number = 0
        async for index, group in super().generate(version, samples, temperature, seeds, *prompts):
            last = index == len(prompts) - 1
            texts = [TEXTS[(number := number + 1) % 2 if last else 0] for _ in range(samples)]
            told = zip(group.completions, texts, strict=True)
            if not last:
                self.settled.add(group.question.id)
            yield index, replace(group, completions=tuple(replace(c, text=t) for c, t in told))


def test_what_taught_nothing_is_gone_before_more_is_drawn_in_its_place(tmp_path: Path) -> None:
    sampler = Settled("one")
    settings = config(tmp_path, refill=2 * SIZE)
    with closing(Stage(settings, rollout=lambda _: sampler)) as run:
        run.train(lambda *_: None)
    assert len(sampler.seen) > STEPS, "steps drew on"
    assert sampler.seen == [set()] * len(sampler.seen)
