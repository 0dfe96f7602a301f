"""ask and probe as a user runs them, and an evaluation that goes on, on a model with hardly any
training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command
from damaged_videos import write_damaged_videos

from cluster.verbs import evaluate
from cluster.verbs.answering import Answerer, answering, budget_for
from cluster.verbs.evaluate import Evaluation
from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_lines
from videothinker.method.prompts import asked
from videothinker.mini import SHIPPED_BASE
from videothinker.model.checkpoint import Budget, read_budget, write_budget
from videothinker.types import Failure, Question

LIMIT = 300.0
"""Two engines start side by side."""


@pytest.fixture(scope="module")
def model(mini_video: VideoConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped base, with room for what these commands ask."""
    folder = Path(shutil.copytree(SHIPPED_BASE, tmp_path_factory.mktemp("base") / "model"))
    budget = Budget(dtype="float32", video=mini_video, max_tokens=24, max_model_len=640)
    write_budget(folder, budget)
    return folder


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(scope="module")
def questions(mini_questions: list[Question]) -> list[Question]:
    """Of both kinds."""
    return mini_questions[:12]


@pytest.fixture(scope="module")
def at_once(
    model: Path,
    mini_world: Path,
    questions: list[Question],
    caches: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Command, Command, Path]:
    """ask and probe, side by side; and the folder of the probe's results."""
    videos, out = mini_world / "raw" / "videos", tmp_path_factory.mktemp("probe") / "out"
    first, asked = questions[0], tmp_path_factory.mktemp("asked") / "questions.parquet"
    write_questions(asked, questions)
    options = [word for _, text in first.options for word in ("--option", text)]
    ask = Command(
        *("ask", "--model", model, "--video", videos / first.video, first.text, *options, "--json"),
        cache=caches,
    )
    probe = Command(
        *("probe", "--model", model, "--benchmark", "clevrer", "--data", asked),
        *("--videos", videos, "--out", out, "--json"),
        cache=caches,
    )
    return ask, probe, out


def subject(number: int) -> str:
    return ("Art", "Physics")[number % 2]


def record(number: int, question: Question) -> dict[str, Any]:
    """A mini question as the reference's MMVU file would have it."""
    return {
        "problem_id": number,
        "problem": question.text,
        "data_type": "video",
        "problem_type": "multiple choice",
        "original_question_type": "multiple-choice",
        "options": [f"{letter}. {text}" for letter, text in question.options],
        "process": "",
        "solution": f"<answer>{question.answer}</answer>",
        "video": f"/yale-nlp/MMVU/videos/{subject(number)}/{question.video}",
        "data_source": "https://example.org",
    }


def result_of(command: Command) -> dict[str, Any]:
    code, out, err = command.finish(LIMIT)
    assert code == 0, err
    result: dict[str, Any] = json.loads(out)
    return result


def test_one_question_about_one_video_is_answered(at_once: tuple[Command, Command, Path]) -> None:
    result = result_of(at_once[0])
    assert result["completion"]
    assert result["answer"]


def test_a_probe_labels_every_question_and_says_how_that_agrees_with_the_log(
    at_once: tuple[Command, Command, Path], questions: list[Question]
) -> None:
    _, probe, out = at_once
    result = result_of(probe)
    labelled = read_questions(out / "questions.parquet")
    assert [q.id for q in labelled] == [q.id for q in questions]
    assert {q.category for q in labelled} <= {"observational", "inferential"}
    assert len(read_questions(out / "bias.parquet")) == result["observational"]
    assert all(found["asked"] == len(questions) for found in result["passed"].values())
    assert list(result["agreement"]) == ["any", "blind", "frame", "shuffled", "clause"]
    asked = read_lines(out / "probes" / "blind" / "answers.jsonl")
    assert len(asked) == len(questions) * 3  # every rotation of three options


def test_a_benchmark_goes_on_where_it_stopped_and_counts_a_broken_and_a_missing_video_as_wrong(
    model: Path,
    mini_world: Path,
    questions: list[Question],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the same engines; test_lora.py types the command."""
    for number, question in enumerate(questions, start=1):
        place = tmp_path / "videos" / subject(number) / question.video
        place.parent.mkdir(parents=True, exist_ok=True)
        if number == 4:
            place.write_bytes(b"no video")
        elif number != 6:
            place.symlink_to(mini_world / "raw" / "videos" / question.video)
    rows = [record(number, q) for number, q in enumerate(questions, start=1)]
    (tmp_path / "eval_mmvu.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    asking = Evaluation(
        model=model,
        benchmark="mmvu",
        data=tmp_path / "eval_mmvu.json",
        videos=tmp_path / "videos",
        out=out,
        wording="training",
    )
    with answering(model, asking.videos, budget_for(model, None)) as engines:
        monkeypatch.setattr(evaluate, "answering", lambda *_: nullcontext(engines))
        first = evaluate.run(asking)
        answers = (out / "answers.jsonl").read_text().splitlines()
        report = (out / "report.html").read_text()
        (out / "answers.jsonl").write_text("\n".join(answers[:7]) + "\n")
        assert evaluate.run(asking) == first
    skipped = read_lines(out / "skipped.jsonl")
    assert {line["question_id"] for line in skipped} == {"4", "6"}
    assert all(line["reason"] for line in skipped)
    assert (first["n"], first["unanswered"]) == (len(questions), 2)
    assert first["chance"] == pytest.approx(1 / 3)
    assert "<svg" in report

    again = (out / "answers.jsonl").read_text().splitlines()
    assert again[:7] == answers[:7]
    assert sorted(again) == sorted(answers)
    assert len(read_lines(out / "skipped.jsonl")) == 2


def told(answerer: Answerer, questions: Sequence[Question]) -> dict[str, str | None]:
    """What is said to each question; None where its video cannot be read."""
    replies = list(answerer.answer(questions, lambda question: asked(question, "training")))
    assert len(replies) == len(questions)
    return {
        reply.question.id: None
        if isinstance(reply.outcome, Failure)
        else reply.outcome.completions[0].text
        for reply in replies
    }


def test_thirty_damaged_videos_and_the_company_of_others_change_no_other_answer(
    model: Path,
    mini_world: Path,
    mini_questions: list[Question],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caches: Path,
) -> None:
    monkeypatch.setattr("cluster.verbs.answering.DataConfig", partial(DataConfig, cache=caches))
    videos = tmp_path / "videos"
    good = mini_questions[:20]
    files = [mini_world / "raw" / "videos" / question.video for question in good]
    damaged = write_damaged_videos(videos, files[0])
    for question, file in zip(good, files, strict=True):
        (videos / question.video).symlink_to(file)
    bad = [replace(good[0], id=f"damaged {name}", video=name) for name in damaged]
    again = [replace(question, id=f"{question.id} again") for question in good]
    mixed = [one for some in zip(good, bad[:20], again, strict=True) for one in some] + bad[20:]
    with answering(model, videos, read_budget(model), loaders=2) as answerer:
        alone, beside = told(answerer, good), told(answerer, mixed)
        for question in good[:2]:
            assert told(answerer, [question]) == {question.id: alone[question.id]}
    assert len(bad) >= 30
    assert all(alone.values())
    assert {name: said for name, said in beside.items() if said is not None} == alone | {
        f"{name} again": said for name, said in alone.items()
    }
    assert {name for name, said in beside.items() if said is None} == {one.id for one in bad}
