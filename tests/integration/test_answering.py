"""evaluate, ask and probe as a user runs them, on a model with hardly any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command

from videothinker.config.settings import VideoConfig
from videothinker.data.questions import read_questions
from videothinker.files import read_lines
from videothinker.model.checkpoint import Budget, write_budget
from videothinker.types import Question


@pytest.fixture(scope="module")
def model(taught_base: Path, mini_video: VideoConfig) -> Path:
    """A model that says what it was trained to see."""
    budget = Budget(dtype="float32", video=mini_video, max_tokens=24, max_model_len=640)
    write_budget(taught_base, budget)
    return taught_base


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("caches")


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


def finish(*arguments: str | Path, cache: Path) -> str:
    code, out, err = Command(*arguments, cache=cache).finish()
    assert code == 0, err
    return out


def test_a_benchmark_survives_a_broken_and_a_missing_video_and_counts_them_as_wrong(
    model: Path, mini_world: Path, mini_questions: list[Question], tmp_path: Path, caches: Path
) -> None:
    for number, question in enumerate(mini_questions, start=1):
        place = tmp_path / "videos" / subject(number) / question.video
        place.parent.mkdir(parents=True, exist_ok=True)
        if number == 4:
            place.write_bytes(b"no video")
        elif number != 6:
            place.symlink_to(mini_world / "raw" / "videos" / question.video)
    rows = [record(number, q) for number, q in enumerate(mini_questions, start=1)]
    (tmp_path / "eval_mmvu.json").write_text(json.dumps(rows))
    arguments = (
        *("evaluate", "--model", model, "--benchmark", "mmvu"),
        *("--data", tmp_path / "eval_mmvu.json", "--videos", tmp_path / "videos"),
        *("--out", tmp_path / "out", "--wording", "training", "--json"),
    )
    first = json.loads(finish(*arguments, cache=caches))
    skipped = read_lines(tmp_path / "out" / "skipped.jsonl")
    assert {line["question_id"] for line in skipped} == {"4", "6"}
    assert all(line["reason"] for line in skipped)
    assert (first["n"], first["unanswered"]) == (len(mini_questions), 2)
    assert first["chance"] == pytest.approx(1 / 3)
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()

    answers = (tmp_path / "out" / "answers.jsonl").read_text()
    assert json.loads(finish(*arguments, cache=caches)) == first
    assert (tmp_path / "out" / "answers.jsonl").read_text() == answers
    assert len(read_lines(tmp_path / "out" / "skipped.jsonl")) == 2


def test_one_question_about_one_video_is_answered(
    model: Path, mini_world: Path, mini_questions: list[Question], caches: Path
) -> None:
    question = mini_questions[0]
    options = [word for _, text in question.options for word in ("--option", text)]
    video = mini_world / "raw" / "videos" / question.video
    out = finish(
        *("ask", "--model", model, "--video", video, question.text, *options, "--json"),
        cache=caches,
    )
    result = json.loads(out)
    assert result["completion"]
    assert result["answer"]


def test_a_probe_labels_every_question_and_says_how_that_agrees_with_the_log(
    model: Path, mini_world: Path, mini_questions: list[Question], tmp_path: Path, caches: Path
) -> None:
    out = finish(
        *("probe", "--model", model, "--benchmark", "clevrer", "--data", mini_world),
        *("--videos", mini_world / "raw" / "videos", "--out", tmp_path / "out", "--json"),
        cache=caches,
    )
    result = json.loads(out)
    labelled = read_questions(tmp_path / "out" / "questions.parquet")
    assert [q.id for q in labelled] == [q.id for q in mini_questions]
    assert {q.category for q in labelled} <= {"observational", "inferential"}
    assert len(read_questions(tmp_path / "out" / "bias.parquet")) == result["observational"]
    assert all(found["asked"] == 24 for found in result["passed"].values())
    assert list(result["agreement"]) == ["any", "blind", "frame", "shuffled", "clause"]
    asked = read_lines(tmp_path / "out" / "probes" / "blind" / "answers.jsonl")
    assert len(asked) == 24 * 3  # every rotation of three options
