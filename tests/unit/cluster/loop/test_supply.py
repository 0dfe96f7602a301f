"""What reaches the learner, whatever happens on the way: the real loop with pretended engines."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from builders import run_config
from ray.exceptions import ObjectLostError, RayActorError
from stand_ins import Engine, Pacing, Rank, Sampler, Scorer, Stage

from videothinker.config.kl import KLConfig
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import (
    FaultsConfig,
    GuardConfig,
    RolloutConfig,
    RunConfig,
    StageConfig,
)
from videothinker.errors import Lost
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory
from videothinker.run.replay import read_replay
from videothinker.types import AnchorScores, RolloutGroup, SignOfLife


def config(folder: Path) -> RunConfig:
    stage = StageConfig(
        name="cdpo",
        questions=folder / "questions.parquet",
        steps=4,
        prompts_per_step=6,
        kl=KLConfig(direction="repel", anchor="base"),
        guard=GuardConfig(action="off"),
    )
    return run_config(
        folder,
        stage,
        rollout=RolloutConfig(workers=2, prompts_together=2),
        faults=FaultsConfig(heartbeat_seconds=0.02, silent_seconds=0.5, backoff_seconds=0),
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


OWN_REWARD = """
def long(completions, question):
    if question.id in {broken!r}:
        raise ValueError("no judge")
    return [len(one) for one in completions]
"""


def test_a_reward_of_the_users_is_paid_once_a_group_and_one_that_fails_costs_its_group(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    file, broken = tmp_path / "rewards.py", undisturbed[7]
    file.write_text(OWN_REWARD.format(broken={broken}))
    own = (RewardConfig(name="format"), RewardConfig(call=f"{file}:long", weight=0.5))
    with closing(Stage(config(tmp_path).model_copy(update={"rewards": own}))) as run:
        directory = run.train(lambda *_: None)
    trained = rows(directory)
    assert [row["prompt_id"] for row in trained] == [one for one in undisturbed if one != broken]
    for row in trained:
        assert row["reward_long"] == [0.5 * len(text) for text in row["completions"]]
        parts = zip(row["reward_format"], row["reward_long"], strict=True)
        assert row["rewards"] == [sum(pair) for pair in parts]
    [left_out] = read_lines(directory.path / "skipped.jsonl")
    assert (left_out["question_id"], left_out["step"]) == (broken, 2)
    assert left_out["reason"] == "reward rewards.py:long: ValueError: no judge (line 4)"
    lines = read_lines(directory.path / "metrics.jsonl")
    assert [line["skipped"] for line in lines] == [0, 1, 0, 0]
    assert all(line["reward"] == line["format"] + line["reward_long"] for line in lines)


class NeverSampling(Sampler):
    def __init__(self, name: str) -> None:
        super().__init__(name, Pacing(60.0))


class Dying(Rank):
    """Stops giving signs of life once it has published."""

    published = False

    async def publish(self, version: int, number: int) -> int:
        self.published = True
        return await super().publish(version, number)

    async def pulse(self) -> SignOfLife:
        if self.published:
            await asyncio.sleep(60)
        return await super().pulse()


def test_a_step_whose_groups_never_come_ends_when_the_learner_is_lost(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Lost, match=r"^learner-0, .*no sign of life"):
        trained(tmp_path, rollout=NeverSampling, learner=lambda _: Dying(0.0))
    assert time.monotonic() - started < 20


class Noting(Rank):
    """Keeps of every call which groups came, and their weights."""

    def __init__(self) -> None:
        super().__init__(0.0)
        self.calls: list[tuple[str, list[str], float]] = []

    def _note(self, method: str, step: int, given: tuple[Any, ...]) -> None:
        share = [(scored.group.question.id, weight) for scored, weight in given[1][0]]
        told = [question for question, weight in share if weight]
        self.calls.append((f"{method} {step}", told, sum(weight for _, weight in share)))

    async def gather(self, step: int, *given: Any) -> None:
        self._note("gather", step, given)

    async def step(self, step: int, *given: Any) -> Any:
        self._note("step", step, given)
        return await super().step(step, *given)


class Uneven(Sampler):
    """Whose groups take longer or shorter, so that later ones are there first."""

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            await asyncio.sleep(0.03 * (zlib.crc32(group.question.id.encode()) % 3))
            yield index, group


def overlapping(folder: Path) -> RunConfig:
    usual = config(folder)
    learner = usual.learner.model_copy(update={"overlap": True})
    rollout = usual.rollout.model_copy(update={"prompts_together": 1})
    return usual.model_copy(update={"learner": learner, "rollout": rollout})


def test_learning_ahead_takes_the_groups_in_their_order_and_each_once(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    rank = Noting()
    engines = {"rollout": lambda name: Uneven(name, Pacing(0.0)), "learner": lambda _: rank}
    with closing(Stage(overlapping(tmp_path), **engines)) as run:
        run.train(lambda *_: None)
    assert [name for _, some, _ in rank.calls for name in some] == undisturbed
    # a group fills a row: five of each step come ahead of its update
    assert [call for call, _, _ in rank.calls] == [
        f"{method} {step}" for step in range(1, 5) for method in (*["gather"] * 5, "step")
    ]
    assert [weight for *_, weight in rank.calls] == pytest.approx([1 / 6] * 24)


def test_a_group_that_fails_meanwhile_counts_as_one_that_says_nothing(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    file, broken, rank = tmp_path / "rewards.py", undisturbed[5], Noting()
    file.write_text(OWN_REWARD.format(broken={broken}))
    own = (RewardConfig(name="format"), RewardConfig(call=f"{file}:long", weight=0.5))
    paid = overlapping(tmp_path).model_copy(update={"rewards": own})
    with closing(Stage(paid, learner=lambda _: rank)) as run:
        run.train(lambda *_: None)
    told = [name for _, some, _ in rank.calls for name in some]
    assert told == [name for name in undisturbed if name != broken]
    # all five that are left were given, since the sixth was still to come: nothing is added
    assert rank.calls[5] == ("step 1", [], 0.0)


class LostAhead(Rank):
    async def gather(self, *_: Any) -> None:
        raise RayActorError


def test_a_learner_that_is_lost_while_it_learns_ahead_ends_the_step(tmp_path: Path) -> None:
    with closing(Stage(overlapping(tmp_path), learner=lambda _: LostAhead(0.0))) as run:
        with pytest.raises(Lost, match=r"^learner-0, .*the process died"):
            run.train(lambda *_: None)
        assert [one.event for one in run.notices if one.role == "learner"].count("lost") == 1


REPLAYED = 3


def replaying(folder: Path) -> RunConfig:
    plain = config(folder)
    stage = plain.stages[0].model_copy(update={"replay": REPLAYED})
    return plain.model_copy(update={"stages": (stage,)})


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    files = sorted((run.path / "rollouts").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_a_replaying_stage_s_groups_end_with_what_its_initial_model_said(tmp_path: Path) -> None:
    with closing(Stage(replaying(tmp_path))) as run:
        directory = run.train(lambda *_: None)
    kept = read_replay(directory.stage("cdpo") / "replay.parquet")
    first = min(row["weights_version"] for row in rows(directory))
    assert {row["prompt_id"] for row in rows(directory)} == set(kept)
    for row in rows(directory):
        own, replayed = row["token_ids"][:-REPLAYED], row["token_ids"][-REPLAYED:]
        assert len(own) == 8 - REPLAYED
        assert replayed == [one.token_ids.tolist() for one in kept[row["prompt_id"]]]
        assert {v for versions in row["weights_versions"][-REPLAYED:] for v in versions} == {first}
    assert {row["weights_version"] for row in rows(directory)} == set(range(first, first + 4))
    samples = [line["samples"] for line in read_lines(directory.path / "metrics.jsonl")]
    assert samples == [6 * (8 - REPLAYED)] * 4  # figures are of the policy alone


class Dumb(Sampler):
    """Is lost over one question, as long as it is asked what the initial model says."""

    async def generate(self, *arguments: Any) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(*arguments):
            if len(group.completions) == REPLAYED and group.question.id == self.question:
                raise RayActorError()
            yield index, group

    question = ""


def test_a_question_that_has_no_replay_is_left_out_with_that_reason(
    tmp_path: Path, undisturbed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dumb, "question", undisturbed[7])
    with closing(Stage(replaying(tmp_path), rollout=lambda n: Dumb(n, Pacing(0.0)))) as run:
        directory = run.train(lambda *_: None)
    assert undisturbed[7] not in {row["prompt_id"] for row in rows(directory)}
    reasons = [
        line["reason"]
        for line in read_lines(directory.path / "skipped.jsonl")
        if line["step"] == 2 and line["question_id"] == undisturbed[7]
    ]
    assert reasons == ["the stage's initial model has no completion of it to replay"]
