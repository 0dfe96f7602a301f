"""A stage that draws what an earlier one's model gets wrong: asked once, kept, drawn as said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import completion, run_config
from stand_ins import Pacing, Sampler, Stage, questions

from cluster.loop.replay import wrong
from cluster.train import train_steps
from videothinker.config.checks.run import cross_checks
from videothinker.config.settings import DrawConfig, GuardConfig, RunConfig, StageConfig
from videothinker.data.questions import write_questions
from videothinker.run.directory import RunDirectory
from videothinker.run.replay import read_replay
from videothinker.run.rollouts import read_groups
from videothinker.types import RolloutGroup

STEPS, PROMPTS, COUNT, GROUP = 3, 4, 20, 4
RIGHT, WRONG = "<think>x</think><answer>A</answer>", "<think>x</think><answer>B</answer>"
HARD = {f"q{number}" for number in range(0, COUNT, 4)}


class Biased(Sampler):
    """Wrong in all but one of its samples where a question is hard, and right in all but one
    elsewhere; counts what it is asked."""

    def __init__(self, asked: list[str]) -> None:
        super().__init__("rollout-0", Pacing(0.0))
        self._asked = asked

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        for index, (question, *_) in enumerate(prompts):
            self._asked.append(question.id)
            often, once = (WRONG, RIGHT) if question.id in HARD else (RIGHT, WRONG)
            texts = [often] * (samples - 1) + [once]
            yield (
                index,
                builders.group(*[completion(t, version=version) for t in texts], about=question),
            )


def config(folder: Path, **draw: Any) -> RunConfig:
    usual = {"prompts_per_step": PROMPTS, "guard": GuardConfig(action="off"), "validate_every": 0}
    stages = (
        StageConfig(name="bias", questions=folder / "bias.parquet", steps=1, **usual),
        StageConfig(
            name="jtt",
            questions=folder / "questions.parquet",
            steps=STEPS,
            draw=DrawConfig(by="errors", **draw),
            **usual,
        ),
    )
    return run_config(folder, *stages, sampling={"group_size": GROUP})


def test_half_of_each_step_is_what_the_bias_model_gets_wrong(tmp_path: Path) -> None:
    asked: list[str] = []
    run_of = config(tmp_path)
    with closing(Stage(run_of, rollout=lambda _: Biased(asked))) as scene:
        write_questions(run_of.stages[1].questions, questions(COUNT))
        session = scene.session(RunDirectory.create(run_of.out, ""))
        train_steps(session, run_of.stages[0], lambda *_: None)  # type: ignore[arg-type]
        asked.clear()
        session._judge(run_of.stages[0])
        assert sorted(asked) == sorted(one.id for one in questions(COUNT))
        judged = read_replay(session.judged_file(run_of.stages[1]))
        assert {len(some) for some in judged.values()} == {GROUP}
        assert wrong(questions(COUNT), judged) == HARD
        asked.clear()
        train_steps(session, run_of.stages[1], lambda *_: None)  # type: ignore[arg-type]
        assert len(asked) == STEPS * PROMPTS, "nobody is judged twice"
    for step in range(1, STEPS + 1):
        drawn = [row["prompt_id"] for row in read_groups(run_of.out, "jtt", step)]
        assert len({*drawn}) == PROMPTS
        assert sum(one in HARD for one in drawn) == PROMPTS / 2


def test_a_question_that_nobody_could_answer_counts_as_right() -> None:
    asked = questions(3)
    judged = {"q0": [completion(WRONG)], "q1": [completion(RIGHT), completion(WRONG)]}
    assert wrong(asked, judged) == {"q0"}


@pytest.mark.parametrize("of", ["jtt", "base", "other"])
def test_who_is_judged_comes_before(tmp_path: Path, of: str) -> None:
    said = [line for line in cross_checks(config(tmp_path, of=of)) if "draw.of" in line]
    assert len(said) == 1
