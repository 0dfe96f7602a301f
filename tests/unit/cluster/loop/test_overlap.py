"""What of a step's parts goes on side by side: the real loop, with engines that only take time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import run_config
from stand_ins import Stage

from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import GuardConfig, RolloutConfig, StageConfig

PROMPTS = 4
CHANCES = 3
"""What else the machine does can only make a step longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """How long the two parts of a step would take alone, in seconds."""

    staleness: int
    generation: float
    learning: float
    workers: int = 1
    ahead: bool = False
    """Whether the learner begins before a step's last group is there."""

    @property
    def limit(self) -> float:
        """Of a step, in seconds."""
        if self.ahead:
            return 1.10 * (self.generation + self.learning / PROMPTS)
        if self.staleness == 0:
            return 1.10 * (self.generation + self.learning)
        return 1.15 * max(self.generation, self.learning)


ALIKE = Case(staleness=1, generation=0.5, learning=0.5)
LONG_GENERATION = Case(staleness=1, generation=0.5, learning=0.35)
LONG_LEARNING = Case(staleness=1, generation=0.35, learning=0.5)
FOUR_WORKERS = Case(staleness=1, generation=0.5, learning=0.5, workers=4)
ON_POLICY = Case(staleness=0, generation=0.5, learning=0.5)
AHEAD = Case(staleness=0, generation=0.5, learning=0.5, ahead=True)
CASES = (ALIKE, LONG_GENERATION, LONG_LEARNING, FOUR_WORKERS, ON_POLICY, AHEAD)


@pytest.fixture(scope="module")
def seconds(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, float]:
    """Of a step of each case; all at the same time, since they do nothing but wait."""
    fastest = dict.fromkeys(CASES, float("inf"))
    for _ in range(CHANCES):
        folders = [tmp_path_factory.mktemp("overlap") for _ in CASES]
        with ThreadPoolExecutor(len(CASES)) as pool:
            for case, took in zip(CASES, pool.map(step_seconds, CASES, folders), strict=True):
                fastest[case] = min(took, fastest[case])
        if all(took <= case.limit for case, took in fastest.items()):
            break
    return fastest


def step_seconds(case: Case, folder: Path) -> float:
    """Of the fastest two in a row."""
    stage = StageConfig(
        name="bias",
        questions=folder / "questions.parquet",
        steps=8,
        prompts_per_step=PROMPTS,
        guard=GuardConfig(action="off"),
    )
    rollout = RolloutConfig(workers=case.workers, max_staleness=case.staleness)
    learner = LearnerConfig(overlap=case.ahead)
    config = run_config(folder, stage, rollout=rollout, learner=learner)
    ends: list[float] = []
    one = case.generation * case.workers / PROMPTS
    run = Stage(config, sampling=one, learning=case.learning)
    try:
        run.train(lambda *_: ends.append(time.monotonic()))
    finally:
        run.close()
    settled = ends[2:]
    return min((later - now) / 2 for now, later in zip(settled, settled[2:], strict=False))


@pytest.mark.parametrize("case", [ALIKE, LONG_GENERATION, LONG_LEARNING, FOUR_WORKERS])
def test_with_staleness_1_a_step_takes_as_long_as_its_longer_part(
    seconds: dict[Case, float], case: Case
) -> None:
    assert seconds[case] <= case.limit


def test_with_staleness_0_a_step_takes_both_parts_and_little_more(
    seconds: dict[Case, float],
) -> None:
    both = ON_POLICY.generation + ON_POLICY.learning
    # a step whose end was noticed late makes the next one look shorter; overlapped it were half
    assert 0.9 * both <= seconds[ON_POLICY] <= ON_POLICY.limit


def test_learning_ahead_leaves_of_it_what_the_last_group_brings(seconds: dict[Case, float]) -> None:
    assert AHEAD.generation <= seconds[AHEAD] <= AHEAD.limit < 0.75 * seconds[ON_POLICY]
