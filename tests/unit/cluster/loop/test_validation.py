"""What a stage's validation asks, of which weights, and what follows from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import builders
import pyarrow.parquet as pq
import pytest
from builders import completion, run_config
from stand_ins import Pacing, Rank, Sampler, Stage

from videothinker.config.settings import (
    FaultsConfig,
    GuardConfig,
    RolloutConfig,
    RunConfig,
    StageConfig,
)
from videothinker.data.questions import write_questions
from videothinker.files import read_lines
from videothinker.process.metrics import VALIDATION
from videothinker.status.snapshot import read_snapshot
from videothinker.types import Question, RolloutGroup

STEPS, EVERY = 8, 2
RIGHT, WRONG = ("<think>x</think><answer>A</answer>", "<think>x</think><answer>B</answer>")
KNOWS = {3: 1, 5: 4, 7: 2}
"""How many of the questions are answered rightly, by version of the weights: 1 + steps made."""


def config(folder: Path, **stage: Any) -> RunConfig:
    """A stage of eight steps that is validated after every second, with four questions."""
    asked = [
        builders.question(f"v{number}", category=("observational", "inferential")[number % 2])
        for number in range(6)
    ]
    write_questions(folder / "validation.parquet", asked)
    settings = {"validate_every": EVERY, "validate_questions": 4, **stage}
    one = StageConfig(
        name="grpo",
        questions=folder / "questions.parquet",
        steps=STEPS,
        prompts_per_step=2,
        guard=GuardConfig(action="off"),
        **settings,
    )
    return run_config(
        folder,
        one,
        data={"videos": folder, "validation": folder / "validation.parquet"},
        rollout=RolloutConfig(workers=1, prompts_together=1),
        faults=FaultsConfig(heartbeat_seconds=0.02, silent_seconds=5, backoff_seconds=0),
    )


class Learning(Sampler):
    """Knows more or less with each version, and tells what it was asked with which."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        super().__init__(name, Pacing(seconds))
        self.asked: list[tuple[int, str]] = []

    async def sleep(self) -> None:
        pass

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        if samples > 1:
            async for pair in super().generate(version, samples, temperature, seeds, *prompts):
                self.asked.append((version, "training"))
                yield pair
            return
        for index, (question, *_) in enumerate(prompts):
            await self._pacing.work()
            self.asked.append((version, question.id))
            yield index, self._answer(question, version)

    def _answer(self, question: Question, version: int) -> RolloutGroup:
        knows = int(question.id[1:]) < KNOWS.get(version, 0)
        said = completion(RIGHT if knows else WRONG, version=version)
        return builders.group(said, about=question)


class Exporting(Rank):
    """A learner that can be exported."""

    async def save_model(self, folder: Path, base: Path, lineage: Any) -> str:
        folder.mkdir()
        (folder / "step").write_text(str(lineage["steps"]))
        return "digest"


def trained(folder: Path, sampler: Learning | None = None, **stage: Any) -> Path:
    """The directory of a run."""
    settings = config(folder, **stage)
    sampler = sampler or Learning("rollout-0")
    with closing(Stage(settings, rollout=lambda _: sampler, learner=lambda _: Exporting(0))) as run:
        return run.train(lambda *_: None).path


def prompts(run: Path) -> list[str]:
    files = sorted((run / "rollouts").glob("*.parquet"))
    return [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]


def test_every_answer_is_of_the_weights_of_its_step_and_training_sees_none_of_it(
    tmp_path: Path,
) -> None:
    sampler = Learning("rollout-0", 0.03)  # so that both wait for the engine
    run = trained(tmp_path, sampler)
    lines = read_lines(run / "validation.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert [line["overall"]["mean"] for line in lines] == [0.25, 1.0, 0.5]
    assert [line["observational"]["mean"] for line in lines] == [0.5, 1.0, 0.5]
    assert {line["answered"] for line in lines} == {4}
    asked = [pair for pair in sampler.asked if pair[1] != "training" and pair[0] > 1]
    assert asked == [(1 + step, f"v{number}") for step in (2, 4, 6) for number in range(4)]
    for step in (2, 4, 6):  # behind the groups of the next step
        first = sampler.asked.index((1 + step, "v0"))
        assert sampler.asked[first - 2 : first] == [(1 + step, "training")] * 2
    (tmp_path / "without").mkdir()
    assert prompts(run) == prompts(trained(tmp_path / "without", validate_every=0))


def test_what_it_says_is_in_the_status_the_metrics_and_prometheus(tmp_path: Path) -> None:
    run = trained(tmp_path)
    last = read_snapshot(run).validations[-1]
    assert (last["step"], last["inferential"]["mean"]) == (6, 0.5)
    steps = read_lines(run / "metrics.jsonl")
    assert all(line["seconds"]["validate"] >= 0 for line in steps)
    told = {line["step"]: line.get("validated_overall") for line in steps}
    assert told == {3: 0.25, 5: 1.0, 7: 0.5} | dict.fromkeys((1, 2, 4, 6, 8))
    assert VALIDATION.labels("overall")._value.get() == 0.5


def test_only_the_time_that_training_waits_is_counted(tmp_path: Path) -> None:
    class Slow(Exporting):
        async def step(self, step: int, *rest: Any) -> Any:
            await asyncio.sleep(0.4)
            return await super().step(step, *rest)

    settings = config(tmp_path)
    sampler = Learning("rollout-0", 0.05)
    with closing(Stage(settings, rollout=lambda _: sampler, learner=lambda _: Slow(0))) as run:
        directory = run.train(lambda *_: None).path
    assert all(line["waited"] < 0.1 for line in read_lines(directory / "validation.jsonl"))


def test_the_best_model_is_kept_and_no_other(tmp_path: Path) -> None:
    run = trained(tmp_path, keep_best="overall")
    folder = run / "stages" / "grpo"
    assert (folder / "best" / "step").read_text() == "4"
    assert not (folder / "candidate").exists()


@pytest.mark.parametrize(("patience", "steps"), [(1, 7), (2, 8)])
def test_a_stage_ends_when_nothing_gets_better_for_as_long_as_its_patience(
    tmp_path: Path, patience: int, steps: int
) -> None:
    run = trained(tmp_path, keep_best="inferential", patience=patience)
    assert len(read_lines(run / "metrics.jsonl")) == steps


def test_engines_that_sleep_answer_before_they_do(tmp_path: Path) -> None:
    settings = config(tmp_path)
    sleeping = settings.rollout.model_copy(update={"sleep": True})
    sampler = Learning("rollout-0")
    settings = settings.model_copy(update={"rollout": sleeping})
    with closing(Stage(settings, rollout=lambda _: sampler, learner=lambda _: Exporting(0))) as run:
        directory = run.train(lambda *_: None).path
    assert [line["step"] for line in read_lines(directory / "validation.jsonl")] == [2, 4, 6]


def test_a_resumed_stage_asks_what_is_not_answered_yet_and_remembers_the_best(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path, keep_best="overall", patience=1)
    sampler = Learning("rollout-0")
    with closing(Stage(settings, rollout=lambda _: sampler, learner=lambda _: Exporting(0))) as run:
        first = run.train(lambda *_: None)
        first.forget_after("grpo", 4)
        assert [line["step"] for line in read_lines(first.path / "validation.jsonl")] == [2, 4]
        sampler.asked.clear()
        session = run.session(first)
        with closing(session.validation(settings.stages[0])) as validation:
            validation.begin(4)
            validation.finish()
            assert not validation.over
            validation.begin(6)
            validation.finish()
            assert validation.over
    assert [name for _, name in sampler.asked] == ["v0", "v1", "v2", "v3"]
