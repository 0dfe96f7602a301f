"""A step that draws on in place of groups that teach nothing, with pretended engines."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders import run_config
from stand_ins import TEXTS, Engine, Pacing, PromptMaker, Rank, Sampler, Scorer, Stage, questions

from cluster.loop.replay import questions_of
from cluster.loop.states import States
from cluster.train import train_steps
from videothinker.config.kl import KLConfig
from videothinker.config.settings import (
    GuardConfig,
    RolloutConfig,
    RunConfig,
    SamplingConfig,
    StageConfig,
)
from videothinker.data.stream import QuestionStream
from videothinker.errors import InputError
from videothinker.files import read_lines
from videothinker.run.directory import RunDirectory
from videothinker.run.draws import forget_draws, next_position
from videothinker.run.rollouts import read_groups
from videothinker.types import AnchorScores, Failure, LearnerReport, RolloutGroup

STEPS, SIZE, REFILL = 6, 6, 5
LONG = 12
"""More than may fail in a row."""


def config(folder: Path, refill: int = REFILL, staleness: int = 0) -> RunConfig:
    stage = StageConfig(
        name="cdpo",
        questions=folder / "questions.parquet",
        steps=STEPS,
        prompts_per_step=SIZE,
        kl=KLConfig(direction="repel", anchor="base"),
        guard=GuardConfig(action="off"),
    )
    rollout = RolloutConfig(workers=2, prompts_together=2, max_staleness=staleness)
    sampling = SamplingConfig(refill=refill)
    return run_config(folder, stage, rollout=rollout, sampling=sampling)


def settled(name: str) -> bool:
    """Two questions of five are answered alike in all completions; of some runs of them, all."""
    number = int(name[1:])
    return number % 5 < 2 or number > 940


@dataclass(eq=False)
class Diary:
    """What was asked of whom, in that order."""

    sampled: list[str] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)
    units: list[tuple[str, ...]] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)


class Settling(Sampler):
    """All completions of a question that is settled earn the same."""

    def __init__(self, name: str, diary: Diary, settles: Callable[[str], bool]) -> None:
        super().__init__(name, Pacing(0.0))
        self._diary, self._settles = diary, settles

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        names = tuple(question.id for question, *_ in prompts)
        self._diary.units.append(names)
        self._diary.seeds |= dict(zip(names, map(int, seeds), strict=True))
        asked = super().generate(version, samples, temperature, seeds, *prompts)
        async for index, group in asked:
            self._diary.sampled.append(group.question.id)
            if self._settles(group.question.id):
                alike = [replace(one, text=TEXTS[len(names) % 2]) for one in group.completions]
                group = replace(group, completions=tuple(alike))
            else:
                unlike = zip(group.completions, itertools.cycle(TEXTS), strict=False)
                group = replace(group, completions=tuple(replace(c, text=t) for c, t in unlike))
            yield index, group


class Noting(Scorer):
    def __init__(self, diary: Diary) -> None:
        super().__init__(Pacing(0.0))
        self._diary = diary

    async def logprobs(self, group: RolloutGroup, *rest: Any) -> AnchorScores:
        self._diary.scored.append(group.question.id)
        return await super().logprobs(group)


def trained(
    settings: RunConfig,
    diary: Diary,
    settles: Callable[[str], bool] = settled,
    **engines: Callable[[str], Engine],
) -> RunDirectory:
    usual: dict[str, Callable[[str], Engine]] = {
        "rollout": lambda name: Settling(name, diary, settles),
        "anchor": lambda _: Noting(diary),
    }
    with closing(Stage(settings, **usual | engines)) as run:
        return run.train(lambda *_: None)


def sequence(seed: int = 42) -> Iterator[str]:
    """The questions of the stage, in the order they are drawn."""
    stream = QuestionStream(questions(1_000), seed)
    return (stream.drawn(place, 1)[0].id for place in itertools.count())


def expected(
    refill: int = REFILL, settles: Callable[[str], bool] = settled, steps: int = STEPS
) -> list[dict[str, Any]]:
    """The lines of draws.jsonl, from the documented rule alone."""
    coming, first, lines = sequence(), 0, []
    for step in range(1, steps + 1):
        asked: list[str] = []
        more = SIZE
        while more:
            some = list(itertools.islice(coming, more))
            asked += some
            idle = sum(map(settles, some)) if refill else 0
            more = min(idle, SIZE + refill - len(asked))
        left = [one for one in asked if refill and settles(one)]
        lines.append(
            {
                "step": step,
                "first": first,
                "drawn": len(asked),
                "trained": [one for one in asked if one not in left],
                "left_out": [{"question_id": one, "reason": "equal"} for one in left],
            }
        )
        first += len(asked)
    return lines


def draws(run: RunDirectory) -> list[dict[str, Any]]:
    return read_lines(run.path / "stages" / "cdpo" / "draws.jsonl")


def on_disk(run: RunDirectory) -> list[tuple[int, str, bool]]:
    """Step, question and whether it was left out, of every group in a Parquet file."""
    files = sorted((run.path / "rollouts").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [(row["step"], row["prompt_id"], row["left_out"]) for row in rows]


def as_on_disk(lines: list[dict[str, Any]]) -> list[tuple[int, str, bool]]:
    return [
        (line["step"], one, out)
        for line in lines
        for names, out in (
            (line["trained"], False),
            ([one["question_id"] for one in line["left_out"]], True),
        )
        for one in names
    ]


@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_each_step_draws_on_for_what_taught_nothing_and_the_next_begins_where_it_ended(
    tmp_path: Path, staleness: int
) -> None:
    diary, wanted = Diary(), expected()
    run = trained(config(tmp_path, staleness=staleness), diary)
    assert len({line["drawn"] for line in wanted}) > 2, "several rounds, and not always as many"
    assert any(len(line["trained"]) == SIZE for line in wanted)
    assert draws(run) == wanted
    assert on_disk(run) == as_on_disk(wanted)
    asked = [one for step, one, _ in as_on_disk(wanted)]
    assert sorted(diary.sampled) == sorted(asked)
    assert sorted(diary.scored) == sorted(one for line in wanted for one in line["trained"])


def test_figures_are_of_all_that_was_sampled_and_say_what_was_left_out(tmp_path: Path) -> None:
    run = trained(config(tmp_path), Diary())
    lines = read_lines(run.path / "metrics.jsonl")
    for line, drawn in zip(lines, expected(), strict=True):
        left = len(drawn["left_out"])
        assert (line["drawn"], line["left_out"]) == (drawn["drawn"], left)
        assert line["equal_reward_groups"] == left / drawn["drawn"]
        assert line["samples"] == 8 * drawn["drawn"]
        assert line["skipped"] == 0
        groups = read_groups(run.path, "cdpo", line["step"], every=True)
        paid = np.mean([np.mean(group["rewards"]) for group in groups])
        assert line["reward"] == pytest.approx(paid)


def test_who_reads_rollouts_is_given_what_was_trained_on(tmp_path: Path) -> None:
    run = trained(config(tmp_path), Diary())
    for line in expected():
        groups = read_groups(run.path, "cdpo", line["step"], ("prompt_id", "advantages"))
        assert [group["prompt_id"] for group in groups] == line["trained"]
        assert all(any(group["advantages"]) for group in groups)
        assert {*groups[0]} == {"prompt_id", "advantages"}


def test_without_refill_every_group_is_trained_and_nothing_else_is_written(tmp_path: Path) -> None:
    run = trained(config(tmp_path, refill=0), Diary())
    assert draws(run) == []
    assert on_disk(run) == as_on_disk(expected(refill=0))
    lines = read_lines(run.path / "metrics.jsonl")
    assert not any({"drawn", "left_out"} & {*line} for line in lines)
    assert any(line["equal_reward_groups"] for line in lines)


@pytest.mark.parametrize("refill", [0, REFILL])
def test_a_steps_first_questions_have_the_seeds_and_the_units_they_always_had(
    tmp_path: Path, refill: int
) -> None:
    diary = Diary()
    trained(config(tmp_path, refill=refill), diary)
    for line in expected(refill):
        asked = [one for step, one, _ in as_on_disk([line])]
        asked.sort(key=list(itertools.islice(sequence(), 200)).index)
        seeds = np.random.default_rng([42, 0, line["step"]]).integers(2**31, size=SIZE).tolist()
        assert [diary.seeds[one] for one in asked[:SIZE]] == seeds
        pairs = [tuple(asked[place : place + 2]) for place in range(0, SIZE, 2)]
        assert {*pairs} <= {*diary.units}
    assert len({*diary.seeds.values()}) == len(diary.seeds)


@pytest.mark.parametrize("refill", [1, REFILL])
def test_a_step_without_anything_to_train_on_keeps_its_line_and_its_groups(
    tmp_path: Path, refill: int
) -> None:
    def everything(_: str) -> bool:
        return True

    diary, settings = Diary(), config(tmp_path, refill=refill)
    stage = settings.stages[0].model_copy(update={"steps": LONG})
    run = trained(settings.model_copy(update={"stages": (stage,)}), diary, everything)
    assert draws(run) == expected(refill, everything, LONG)
    assert {line["drawn"] for line in draws(run)} == {SIZE + refill}
    assert on_disk(run) == as_on_disk(draws(run))
    assert run.status()["step"] == LONG
    assert diary.scored == []
    lines = read_lines(run.path / "metrics.jsonl")
    assert [line["left_out"] for line in lines] == [SIZE + refill] * LONG
    assert all(line["reward"] >= 0 and "loss" not in line for line in lines)


class Blind(PromptMaker):
    """Cannot read one question's video."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def prepare(self, *asked: Any) -> tuple[Any, dict[str, int], int]:
        broken = asked[0].id == self._name
        return Failure(kind="video", reason="no pixels") if broken else None, {}, 0


def test_a_question_that_fails_is_not_replaced_and_says_why(tmp_path: Path) -> None:
    broken = next(one for line in expected() for one in line["trained"])
    run = trained(config(tmp_path), Diary(), loader=lambda _: Blind(broken))
    first, *rest = expected()
    left = {one["question_id"]: one["reason"] for one in draws(run)[0]["left_out"]}
    assert left == {one["question_id"]: "equal" for one in first["left_out"]} | {
        broken: "no pixels"
    }
    assert draws(run)[0]["trained"] == [one for one in first["trained"] if one != broken]
    assert draws(run)[1:] == rest
    assert read_lines(run.path / "metrics.jsonl")[0]["skipped"] == 1


@pytest.mark.parametrize("done", [1, 3])
def test_a_run_that_goes_back_to_a_state_draws_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    settings, diary = config(tmp_path), Diary()
    run = trained(settings, Diary())
    torn = run.path / "stages" / "cdpo" / "draws.jsonl"
    torn.write_text(torn.read_text() + '{"step": 7, "fir')
    monkeypatch.setattr(States, "newest", lambda *_: (done, None))
    engines: dict[str, Any] = {"rollout": lambda name: Settling(name, diary, settled)}
    with closing(Stage(settings, **engines)) as again:
        session = again.session(RunDirectory.open(run.path))
        train_steps(session, settings.stages[0], lambda *_: None)  # type: ignore[arg-type]
    assert draws(run) == expected()
    assert on_disk(run) == as_on_disk(expected())
    asked = [one for _, one, _ in as_on_disk(expected()[done:])]
    assert sorted(diary.sampled) == sorted(asked)


def test_where_the_next_step_begins_is_not_guessed(tmp_path: Path) -> None:
    assert next_position(tmp_path, 0) == 0
    with pytest.raises(InputError, match=r"draws\.jsonl: no line of step 2, .* Bring the file"):
        next_position(tmp_path, 2)
    forget_draws(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_replaying_stage_asks_before_its_start_what_its_steps_may_draw(tmp_path: Path) -> None:
    [stage], stream = config(tmp_path).stages, QuestionStream(questions(1_000), 42)
    for refill in (0, REFILL):
        asked = [one.id for one in questions_of(stage, stream, refill)]
        assert asked == list(itertools.islice(sequence(), STEPS * (SIZE + refill)))
    assert len(list(questions_of(stage, QuestionStream(questions(7), 42), REFILL))) == 7


class Slow(Rank):
    """Notes what has been sampled by the end of its step."""

    def __init__(self, diary: Diary) -> None:
        super().__init__(0.3)
        self.diary, self.by_then = diary, list[list[str]]()

    async def step(self, step: int, *rest: Any) -> LearnerReport:
        report = await super().step(step, *rest)
        self.by_then.append(list(self.diary.sampled))
        return report


def test_with_staleness_the_next_step_is_sampled_while_the_learner_works(tmp_path: Path) -> None:
    diary = Diary()
    learner = Slow(diary)
    trained(config(tmp_path, staleness=1), diary, learner=lambda _: learner)
    second = {one for _, one, _ in as_on_disk(expected()[1:2])}
    assert second <= {*learner.by_then[0]}
