"""The report as people see it: in Chromium, on a screen and on a phone."""

from __future__ import annotations

import math
import re
from pathlib import Path

import builders
import numpy as np
import pytest
from browser import SIZES, chromium, problems
from builders import completion
from evaluated_models import model
from validation_answers import keep

from videothinker.report.page import write_report
from videothinker.run.directory import RunDirectory
from videothinker.types import Question, ScoredGroup

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine: apt-get install chromium"
)
LONG = "https_no_spaces_at_all_" * 8
STEPS = 120


@pytest.fixture(scope="module")
def finished(
    mini_world: Path, mini_questions: list[Question], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The page of a run that had everything: losses, scalings, left out samples, long words, and
    answers that are right, wrong, long, or missing.
    """
    data = f"videos: {mini_world}/raw/videos, validation: {mini_world}/questions.parquet"
    stages = "[{name: bias, steps: 60}, {name: grpo, steps: 60}, {name: cdpo, steps: 60}]"
    run = RunDirectory.create(
        tmp_path_factory.mktemp("page") / "run", f"data: {{{data}}}\nstages: {stages}\n"
    )
    run.event({"event": "started", "process": "rollout-0"})
    for stage in ("bias", "grpo", "cdpo"):
        for step in range(1, STEPS // 2 + 1):
            run.record(line(stage, step))
            if step % 20 == 0:
                happen(run, stage, step)
        answer(run.path, stage, mini_questions)
        run.rollouts(stage, STEPS // 2, [group(question) for question in mini_questions[:6]])
    answer(run.path, "base", mini_questions)
    names = [("base", 85, 31), ("bias", 99, 2), ("grpo", 93, 80), ("cdpo", 97, 87)]
    kl = {"direction": "repel", "anchor": "bias", "coefficient": 0.1, "estimator": "k3"}
    run.summary(
        {
            "started": 1.8e9,
            "finished": 1.8e9 + 600,
            "models": [{**model(*name), "path": f"/{LONG}"} for name in names],
            "stages": [{"name": "cdpo", "steps": 60, "kl": kl, "anchor": {"path": f"/{LONG}"}}],
        }
    )
    run.status(state="finished", stage="cdpo", step=60)
    return write_report(run.path)


def line(stage: str, step: int) -> dict[str, object]:
    seconds = {"wait": 1 + step % 3, "learn": 0.5, "sync": 0.1, "generate": 1.0}
    long = 40.0 if step == 30 else 0.0
    return {
        "stage": stage,
        "step": step,
        "reward": 1 + math.tanh(step / 40),
        "kl": 1e-4 * step if stage == "cdpo" else None,
        "inferential_accuracy": step / 60,
        "observational_accuracy": 0.9,
        "tokens": 123456 + step,
        "seconds": {**seconds, "total": 2 + step % 3 + long},
    }


def happen(run: RunDirectory, stage: str, step: int) -> None:
    reason = f"rollout-0, sampling with weights version {step}: the process died ({LONG})"
    run.event({"event": "lost", "process": "rollout-0", "reason": reason})
    run.event({"event": "started", "process": "rollout-0"})
    run.event({"event": "started", "process": f"rollout-{step}"})
    run.event({"event": "left", "process": f"rollout-{step}"})
    run.skip(stage, step, LONG, f"/data/{LONG}.mp4: no frame could be decoded")


def answer(run: Path, model: str, questions: list[Question]) -> None:
    """Right, wrong or without end, by the question's place and the model's name."""
    texts = [f"<think> it is so </think> <answer>{letter}</answer>" for letter in "ABC"]
    shift = len(model)
    keep(
        run,
        model,
        {
            question.id: [*texts, LONG, "红色" * 90][(place * shift) % 5]
            for place, question in enumerate(questions)
            if place % 7 != shift
        },
    )


def group(question: Question) -> ScoredGroup:
    texts = ["<think> without the cube </think> <answer>A</answer>", LONG, "", "红色" * 90]
    rewards = np.array([2.0, 0.0, 0.0, 1.0], np.float32)
    completions = [
        completion(text, logprobs=-0.5, version=1, finish_reason="length") for text in texts
    ]
    return ScoredGroup(
        group=builders.group(*completions, about=question, seconds=1.0),
        rewards={"soft_accuracy": rewards},
        advantages=rewards - rewards.mean(),
        anchor_logprobs=None,
    )


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that failed before it was evaluated."""
    folder = tmp_path_factory.mktemp("page") / "run"
    run = RunDirectory.create(folder, f"name: {LONG}\nstages: [{{name: {LONG}, steps: 60}}]\n")
    run.record(line(LONG, 1))
    run.status(state="failed", stage=LONG, step=1, error=f"{LONG}: no space left on the disk")
    return write_report(run.path)


@pytest.mark.parametrize("size", SIZES)
def test_a_finished_run_s_page_is_whole_and_readable(finished: Path, size: str) -> None:
    assert finished.read_text().count("data:image/jpeg") >= 12
    assert problems(finished, *SIZES[size]) == []


def test_its_examples_have_their_frames_and_every_model_s_answer(finished: Path) -> None:
    cards = re.findall(r'<div class="kicker">Clip \d.*?</article>', finished.read_text(), re.S)
    assert len(cards) >= 4
    assert {card.count("data:image/jpeg") for card in cards} == {6}
    assert {card.count('<div class="completion ') for card in cards} == {4}


@pytest.mark.parametrize("size", SIZES)
def test_a_failed_run_s_page_is_whole_and_readable(failed: Path, size: str) -> None:
    assert problems(failed, *SIZES[size]) == []


@pytest.mark.parametrize(
    ("planted", "noticed"),
    [
        ('<table style="width: 2000px"><tr><td>wide</td></tr></table>', "reaches from"),
        ('<img src="data:image/png;base64,AAAA" alt="">', "an image is not there"),
        ('<p style="font-size: 9px">small</p>', "is 9.0 px high"),
        ('<svg viewBox="0 0 100 50"><text x="90" y="20">cut</text></svg>', "cut off"),
        ("<script>missing()</script>", "missing is not defined"),
    ],
)
def test_each_of_these_checks_can_fail(
    failed: Path, tmp_path: Path, planted: str, noticed: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text(failed.read_text().replace("</body>", f"{planted}</body>"))
    assert any(noticed in problem for problem in problems(page, *SIZES["phone"]))
