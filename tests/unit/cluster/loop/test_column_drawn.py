"""A stage that draws by a column of its file: as often as it says, the same after going back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from builders import run_config
from stand_ins import Stage, questions

from cluster.loop.states import States
from cluster.train import train_steps
from videothinker.config.draw import DrawConfig
from videothinker.config.settings import GuardConfig, RunConfig, StageConfig
from videothinker.data.questions import write_questions
from videothinker.data.stream import WeightedStream
from videothinker.files import read_json, read_lines
from videothinker.report.page import write_report
from videothinker.run.directory import RunDirectory
from videothinker.run.rollouts import read_groups

STEPS, PROMPTS, COUNT = 5, 4, 10
WEIGHTS = [float(number % 4) for number in range(COUNT)]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    stage = StageConfig(
        name="grpo",
        questions=tmp_path / "questions.parquet",
        steps=STEPS,
        prompts_per_step=PROMPTS,
        draw=DrawConfig(by="column"),
        guard=GuardConfig(action="off"),
        validate_every=0,
    )
    return run_config(tmp_path, stage, sampling={"group_size": 2})


def train(config: RunConfig, run: RunDirectory) -> None:
    with closing(Stage(config)) as scene:
        weighed = zip(questions(COUNT), WEIGHTS, strict=True)
        asked = [replace(one, weight=weight) for one, weight in weighed]
        write_questions(config.stages[0].questions, asked)
        train_steps(scene.session(run), config.stages[0], lambda *_: None)  # type: ignore[arg-type]


def drawn(run: RunDirectory) -> list[str]:
    steps = range(1, STEPS + 1)
    return [row["prompt_id"] for step in steps for row in read_groups(run.path, "grpo", step)]


def test_a_stage_asks_what_the_weights_of_its_file_say_also_after_going_back(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create(config.out, "")
    train(config, run)
    stream = WeightedStream(questions(COUNT), WEIGHTS, config.seed, ("training",))
    wanted = [one.id for one in stream.drawn(0, STEPS * PROMPTS)]
    assert drawn(run) == wanted
    lines = read_lines(config.out / "metrics.jsonl")
    for line, start in zip(lines, range(0, STEPS * PROMPTS, PROMPTS), strict=True):
        weights = [WEIGHTS[int(one[1:])] for one in wanted[start : start + PROMPTS]]
        assert line["asked_weight"] == sum(weights) / PROMPTS
    known = {"by": "column", "column": "weight", "questions": 10, "never": 3, "mean_weight": 1.3}
    assert read_json(config.out / "summary.json")["draws"] == {"grpo": known}
    mean = sum(line["asked_weight"] for line in lines) / STEPS
    said = "each as often as its column weight says, 3 of 10 never; their mean is 1.3"
    assert f"{said}, {mean:.3g} of what was asked" in write_report(config.out).read_text()
    monkeypatch.setattr(States, "newest", lambda *_: (2, None))
    train(config, RunDirectory.open(config.out))
    assert drawn(run) == wanted
