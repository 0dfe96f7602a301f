"""A stage that leaves out what is too easy or too hard for it, with pretended engines.

What is drawn follows from the answers on the disk, however far ahead prompts are begun and wherever
a run goes back to.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pytest
from builders import run_config
from stand_ins import TEXTS, Pacing, PromptMaker, Sampler, Stage, questions

from cluster.loop.drawing import Batch, Fate, Sampled
from cluster.loop.states import States
from cluster.train import train_steps
from videothinker.config.checks.run import cross_checks
from videothinker.config.draw import DrawConfig
from videothinker.config.rewards import RewardConfig, paid_for_answers
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.data.asked import unfit_draws
from videothinker.data.questions import write_questions
from videothinker.data.stream import order
from videothinker.errors import InputError
from videothinker.files import read_lines
from videothinker.report.page import write_report
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, RolloutGroup, ScoredGroup

STEPS, SIZE, COUNT, GROUP, REST = 20, 4, 16, 4, 2
Line = tuple[int, list[str], list[float | None]]


def config(folder: Path, refill: int = 0, staleness: int = 0, **other: Any) -> RunConfig:
    stage = StageConfig(
        name="grpo",
        questions=folder / "questions.parquet",
        steps=STEPS,
        prompts_per_step=SIZE,
        draw=DrawConfig(by="difficulty", least=0.2, most=0.8, rest=REST),
        guard=GuardConfig(action="off"),
        validate_every=0,
    )
    return run_config(
        folder,
        stage.model_copy(update=other),
        sampling={"group_size": GROUP, "refill": refill},
        rollout={"max_staleness": staleness, "workers": 2, "prompts_together": 2},
    )


def success(place: int) -> float:
    return {0: 1.0, 1: 0.0}.get(place % 4, 0.5)


class Able(Sampler):
    """Gets a quarter of the questions right always, a quarter never, the others half of the
    time."""

    async def generate(
        self, version: int, samples: int, *rest: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(version, samples, *rest):
            share = success(int(group.question.id[1:]))
            texts = [TEXTS[place >= share * samples] for place in range(samples)]
            some = zip(group.completions, texts, strict=True)
            yield index, replace(group, completions=tuple(replace(c, text=t) for c, t in some))


class Sightless(PromptMaker):
    """Cannot read one question's video."""

    async def prepare(self, *asked: Any) -> tuple[Any, dict[str, int], int]:
        broken = asked[0].id == "q5"
        return Failure(kind="video", reason="no pixels") if broken else None, {}, 0


def train(settings: RunConfig, run: RunDirectory) -> None:
    engines: dict[str, Any] = {
        "rollout": lambda name: Able(name, Pacing(0.0)),
        "loader": lambda _: Sightless(),
    }
    with closing(Stage(settings, **engines)) as scene:
        write_questions(settings.stages[0].questions, questions(COUNT))
        session = scene.session(run)
        train_steps(session, settings.stages[0], lambda *_: None)  # type: ignore[arg-type]


def sequence(window: int) -> list[int]:
    """Who is at each position, from the documented rule alone."""
    passes: list[list[int]] = []
    while sum(map(len, passes)) < 2 * STEPS * SIZE:
        start, last = sum(map(len, passes)), dict[int, float]()
        position = start - sum(map(len, passes[-REST:]))
        for place in itertools.chain(*passes[-REST:]):
            if position < start - window and place != 5:
                last[place] = success(place)
            position += 1
        whole = order(COUNT, 42, len(passes)).tolist()
        passes.append([one for one in whole if last.get(one, 0.5) == 0.5])
    return list(itertools.chain(*passes))


def expected(refill: int, staleness: int) -> list[Line]:
    """Of each step, where it begins, whom it asks, and what share of each was right."""
    coming, first, lines = sequence((2 + staleness) * (SIZE + refill)), 0, []
    for _ in range(STEPS):
        asked, more = list[int](), SIZE
        while more:
            some = coming[first + len(asked) :][:more]
            asked += some
            idle = sum(success(one) != 0.5 and one != 5 for one in some) if refill else 0
            more = min(idle, SIZE + refill - len(asked))
        shares = [None if one == 5 else success(one) for one in asked]
        lines.append((first, [f"q{one}" for one in asked], shares))
        first += len(asked)
    return lines


def kept(run: RunDirectory) -> list[Line]:
    """What draws.jsonl says."""
    lines = read_lines(run.path / "stages" / "grpo" / "draws.jsonl")
    assert [line["step"] for line in lines] == [*range(1, STEPS + 1)]
    found = []
    for line in lines:
        out = [one["question_id"] for one in line["left_out"]]
        found.append((line["first"], sorted(line["trained"] + out), line["right"]))
    return found


def unordered(lines: list[Line]) -> list[Line]:
    return [(first, sorted(asked), shares) for first, asked, shares in lines]


@pytest.mark.parametrize("refill", [0, 3])
@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_each_pass_asks_those_that_are_neither_too_easy_nor_too_hard(
    tmp_path: Path, refill: int, staleness: int
) -> None:
    settings = config(tmp_path, refill, staleness)
    run = RunDirectory.create(settings.out, "")
    train(settings, run)
    wanted = expected(refill, staleness)
    assert kept(run) == unordered(wanted)
    asked = [one for _, some, _ in wanted for one in some]
    easy, middle = asked.count("q0"), asked.count("q2")
    assert 1 < easy < middle, "it rests, and comes back"


@pytest.mark.parametrize(
    ("refill", "staleness", "done"), [(0, 0, 7), (0, 1, 15), (3, 0, 1), (3, 2, 15)]
)
def test_a_run_that_goes_back_to_a_state_draws_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refill: int, staleness: int, done: int
) -> None:
    settings = config(tmp_path, refill, staleness)
    run = RunDirectory.create(settings.out, "")
    train(settings, run)
    torn = run.path / "stages" / "grpo" / "draws.jsonl"
    torn.write_text(torn.read_text() + '{"step": 21, "fir')
    monkeypatch.setattr(States, "newest", lambda *_: (done, None))
    train(settings, RunDirectory.open(run.path))
    assert kept(run) == unordered(expected(refill, staleness))


def test_what_rests_is_in_each_line_and_in_the_report(tmp_path: Path) -> None:
    settings = config(tmp_path)
    run = RunDirectory.create(settings.out, "")
    train(settings, run)
    resting = [line["resting"] for line in read_lines(run.path / "metrics.jsonl")]
    assert resting[0] == 0
    assert max(resting) > 2
    said = "those of 16 that the policy gets right 20% to 80% of the time, others rest for 2 rounds"
    assert f"{said}; {sum(resting) / STEPS:.3g} rested" in write_report(run.path).read_text()


def test_a_gap_in_what_is_known_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path)
    run = RunDirectory.create(settings.out, "")
    train(settings, run)
    file = run.path / "stages" / "grpo" / "draws.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:2] + lines[3:]))
    monkeypatch.setattr(States, "newest", lambda *_: (15, None))
    with pytest.raises(InputError, match=r"draws\.jsonl: \d+ questions .* first 8 are known"):
        train(settings, RunDirectory.open(run.path))
    file.write_text("".join(lines[:14]))
    with pytest.raises(InputError, match=r"draws\.jsonl: no line of step 15"):
        train(settings, RunDirectory.open(run.path))


@pytest.mark.parametrize("weight", [1.0, 0.7, 0.3, 3.0])
def test_success_is_what_the_policys_own_completions_are_paid_in_full(weight: float) -> None:
    """Half of what a right one earns is not right, and what is replayed says nothing."""
    group = replace(builders.group(*[builders.completion()] * 5), replayed=2)
    paid = np.array([1, 0.5, 1, 0, 0], np.float32) * np.float32(weight)
    rewards = {"format": np.ones(5, np.float32), "soft_accuracy": paid}
    fates: list[Fate] = [
        Sampled(group=group, prepared=None, earned=rewards, anchor=None),  # type: ignore[arg-type]
        ScoredGroup(group=group, rewards=rewards, advantages=paid, anchor_logprobs=None),
        Failure(kind="video", reason="no pixels"),
    ]
    batch = Batch(first=0, fates=[(group.question, one) for one in fates], seconds={}, figures={})
    names = ("format", "strict_accuracy", "soft_accuracy")
    reward = paid_for_answers([RewardConfig(name=name, weight=weight) for name in names])
    assert reward.name == "soft_accuracy"
    assert batch.successes(reward) == [pytest.approx(2 / 3), pytest.approx(2 / 3), None]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        ({"least": 0.9, "most": 0.1}, "draw.least = 0.9 is more than stages.0.draw.most = 0.1"),
        ({"least": 0, "most": 1}, "draw.by = 'difficulty' has no effect with least = 0 and most"),
    ],
)
def test_bounds_that_hold_nothing_or_everything_are_refused(
    tmp_path: Path, draw: dict[str, Any], said: str
) -> None:
    settings = config(tmp_path, draw=DrawConfig(by="difficulty", **draw))
    assert sum(said in line for line in cross_checks(settings)) == 1


def test_without_a_reward_for_the_answer_nobody_knows_what_is_hard(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert list(cross_checks(settings)) == []
    formal = settings.model_copy(update={"rewards": (RewardConfig(name="format"),)})
    [said] = cross_checks(formal)
    assert said.startswith("stages.0.draw.by = 'difficulty': none of the rewards format says")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (80, "stages.0.draw.by = 'difficulty' has no effect: stages.0 asks at most 80 questions"),
        (4, "stages.0.draw.rest = 2 has no effect: 8 questions are drawn before the answers"),
        (5, ""),
        (79, ""),
    ],
)
def test_where_nothing_is_known_in_time_it_is_refused(
    tmp_path: Path, count: int, said: str
) -> None:
    settings = config(tmp_path)
    found = list(unfit_draws(settings, settings.stages[0].questions, questions(count)))
    assert [one[: len(said)] for one in found] == ([said] if said else [])


def test_how_many_questions_a_probe_leaves_is_not_guessed(tmp_path: Path) -> None:
    settings = config(tmp_path, category="inferential")
    probing = settings.model_copy(
        update={"data": settings.data.model_copy(update={"category": "probe"})}
    )
    file, asked = settings.stages[0].questions, questions(100)
    assert len(list(unfit_draws(settings, file, asked))) == 0, "half of them are inferential"
    assert len(list(unfit_draws(settings, file, questions(200)))) == 1
    assert list(unfit_draws(probing, file, questions(200))) == []
