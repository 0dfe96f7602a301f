"""A stage that draws what an earlier one's model gets wrong: asked once, kept, drawn as said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import builders
import pytest
from builders import completion, run_config
from stand_ins import Pacing, Rank, Sampler, Stage, questions

from cluster.loop.lineage import Lineage
from cluster.loop.replay import wrong
from cluster.train import train_stage, train_steps
from videothinker.config.checks.run import cross_checks
from videothinker.config.draw import DrawConfig
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.data.questions import write_questions
from videothinker.data.stream import QuestionStream
from videothinker.files import read_json, read_lines
from videothinker.model.checkpoint import model_digest
from videothinker.run.directory import RunDirectory
from videothinker.run.replay import read_replay
from videothinker.run.rollouts import read_groups
from videothinker.status.life import life
from videothinker.status.screen import Screen, screen
from videothinker.status.snapshot import read_snapshot
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
        session._judge("bias", run_of.stages[1:])
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


@pytest.mark.parametrize("of", ["jtt", "other", "/models/other"])
def test_who_is_judged_comes_before(tmp_path: Path, of: str) -> None:
    said = [line for line in cross_checks(config(tmp_path, of=of)) if "draw.of" in line]
    assert len(said) == 1


class Exporting(Rank):
    """Has a model to leave."""

    async def save_model(self, folder: Path, *_: Any) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        return model_digest(folder)


def opened(config: RunConfig) -> RunDirectory:
    new = not (config.out / "config.yaml").is_file()
    return RunDirectory.create(config.out, "") if new else RunDirectory.open(config.out)


def train(config: RunConfig, engine: Callable[[list[str]], Biased]) -> list[str]:
    """Every stage that is not finished yet, to its end; returns what was asked."""
    asked: list[str] = []
    engines: dict[str, Any] = {
        "rollout": lambda _: engine(asked),
        "learner": lambda _: Exporting(0.0),
    }
    with closing(Stage(config, **engines)) as scene:
        write_questions(config.stages[1].questions, questions(COUNT))
        session = scene.session(opened(config))
        for stage in config.stages:
            if not session.lineage.finished(stage.name):
                train_stage(session, stage)
    return asked


def test_the_model_that_a_stage_begins_with_is_asked_before_its_first_step_and_once(
    tmp_path: Path,
) -> None:
    run_of = config(tmp_path, of="base")
    stage = run_of.stages[1]
    asked: list[str] = []
    with closing(Stage(run_of, rollout=lambda _: Biased(asked))) as scene:
        write_questions(stage.questions, questions(COUNT))
        for steps in (COUNT + STEPS * PROMPTS, STEPS * PROMPTS):  # the second time from the file
            asked.clear()
            train_steps(scene.session(opened(run_of)), stage, lambda *_: None)  # type: ignore[arg-type]
            assert len(asked) == steps
            assert [len(hard) for hard in drawn_hard(run_of)] == [PROMPTS // 2] * STEPS


def drawn_hard(config: RunConfig) -> list[list[str]]:
    """Of each step of the second stage, which of the hard questions it asked."""
    steps = range(1, STEPS + 1)
    rows = [read_groups(config.out, config.stages[1].name, step) for step in steps]
    return [[row["prompt_id"] for row in some if row["prompt_id"] in HARD] for some in rows]


@pytest.mark.parametrize(
    ("of", "when"),
    [
        ("bias", "while its answers are written"),
        ("bias", "before the stage counts"),
        ("base", "while its answers are written"),
    ],
)
def test_who_is_killed_before_the_judged_are_needed_asks_again_and_draws_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str, when: str
) -> None:
    whole, killed = config(tmp_path / "whole", of=of), config(tmp_path / "killed", of=of)
    train(whole, Biased)
    replace_file, add_model = Path.replace, Lineage.add_model

    def torn(file: Path, target: Path) -> Path:
        if target.name == "judged.parquet":
            raise KeyboardInterrupt
        return replace_file(file, target)

    def unknown(lineage: Lineage, name: str, *rest: Any) -> None:
        if name == "bias":
            raise KeyboardInterrupt
        add_model(lineage, name, *rest)

    with monkeypatch.context() as patch:
        if when.startswith("while"):
            patch.setattr(Path, "replace", torn)
        else:
            patch.setattr(Lineage, "add_model", unknown)
        with pytest.raises(KeyboardInterrupt):
            train(killed, Biased)
    file = killed.out / "stages" / "jtt" / "judged.parquet"
    assert file.is_file() == when.startswith("before"), "whole or not there"
    asked = train(killed, Biased)
    if of == "base":
        assert len(asked) == COUNT + STEPS * PROMPTS, "the stage before it stands"
    one, other = (
        read_replay(run.out / "stages" / "jtt" / "judged.parquet") for run in (whole, killed)
    )
    assert [c.text for some in one.values() for c in some] == [
        c.text for some in other.values() for c in some
    ]
    assert drawn_hard(killed) == drawn_hard(whole)
    assert [len(hard) for hard in drawn_hard(killed)] == [PROMPTS // 2] * STEPS


class Certain(Biased):
    """Answers all questions alike."""

    def __init__(self, asked: list[str], text: str) -> None:
        super().__init__(asked)
        self._text = text

    async def generate(
        self, version: int, samples: int, *rest: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        async for index, group in super().generate(version, samples, *rest):
            yield (
                index,
                replace(
                    group,
                    completions=tuple(replace(one, text=self._text) for one in group.completions),
                ),
            )


@pytest.mark.parametrize(("text", "what"), [(RIGHT, "all"), (WRONG, "none")])
def test_where_a_model_gets_all_alike_all_are_drawn_alike_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, what: str
) -> None:
    run_of = config(tmp_path)
    train(run_of, lambda asked: Certain(asked, text))
    said = f"model bias gets {what} of 20 questions right, so that there is nothing to share"
    assert sum(said in line for line in caplog.messages) == 1
    drawn = [row["prompt_id"] for n in range(1, 4) for row in read_groups(run_of.out, "jtt", n)]
    uniform = QuestionStream(questions(COUNT), 42).drawn(0, STEPS * PROMPTS)
    assert drawn == [one.id for one in uniform]
    known = {"by": "errors", "share": 0.5, "of": "bias", "questions": COUNT, "instead": "uniform"}
    known["wrong"] = COUNT if what == "none" else 0
    assert read_json(run_of.out / "summary.json")["draws"] == {"jtt": known}
    assert read_json(run_of.out / "status.json")["draw"] == {"stage": "jtt", **known}
    assert said in (run_of.out / "report.html").read_text()


def test_what_was_drawn_is_in_each_line_the_report_and_on_the_screen(tmp_path: Path) -> None:
    run_of = config(tmp_path, share=0.25)
    train(run_of, Biased)
    lines = [line for line in read_lines(run_of.out / "metrics.jsonl") if line["stage"] == "jtt"]
    assert [line["asked_wrong"] for line in lines] == [0.25] * STEPS
    said = "model bias gets 5 of 20 questions wrong, 25% of what was asked"
    assert said in (run_of.out / "report.html").read_text()
    snapshot = read_snapshot(run_of.out)
    assert any(said in line for line in screen(snapshot, life(snapshot), None, Screen(width=120)))
