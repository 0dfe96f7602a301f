"""The whole pipeline through the command line: two stages, interruption, resuming."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cli_process import Command, wait_for

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.evaluation.scores import diagnose
from videothinker.files import read_lines
from videothinker.run.answers import read_answers
from videothinker.types import Question


@pytest.fixture(scope="module")
def config_file(
    run_config: RunConfig, taught_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    model = run_config.model.model_copy(update={"path": taught_base})
    data = run_config.data.model_copy(update={"validation_likeliest": True})
    # so slow that rewards go on to differ within groups: equal ones teach nothing
    learner = run_config.learner.model_copy(update={"learning_rate": 1e-4})
    changed = {"model": model, "data": data, "learner": learner}
    file.write_text(to_yaml(run_config.model_copy(update=changed)))
    return file


@pytest.fixture(scope="module")
def finished(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both stages that is interrupted with Ctrl-C on its way and then resumed."""
    run = tmp_path_factory.mktemp("training") / "run"
    first = Command("train", config_file, f"out={run}")
    wait_for(lambda: len(read_lines(run / "metrics.jsonl")) >= 4, first)  # stage 2 has begun
    os.killpg(first.process.pid, signal.SIGINT)
    code, _, err = first.finish(60)
    assert code == 130, err
    assert first.all_gone(), "Ctrl-C left processes behind"
    assert json.loads((run / "status.json").read_text())["state"] == "interrupted"
    assert not (run / "stages" / "cdpo" / "model").exists()

    second = Command("train", "--resume", run)
    code, _, err = second.finish()
    assert code == 0, err
    assert second.all_gone(), "a finished run left processes behind"
    return run


def test_a_resumed_run_has_every_step_once(finished: Path) -> None:
    steps = [(line["stage"], line["step"]) for line in read_lines(finished / "metrics.jsonl")]
    assert steps == [(stage, step) for stage in ("bias", "cdpo") for step in (1, 2, 3)]


def test_every_step_learns_and_repulsion_moves_the_policy_off_the_anchor(finished: Path) -> None:
    lines = read_lines(finished / "metrics.jsonl")
    assert all(line["grad_norm"] > 0 for line in lines)
    assert all(line["logprob_gap_max"] < 1e-4 for line in lines)
    divergence = [line["kl"] for line in lines if line["stage"] == "cdpo"]
    assert divergence[0] > 1e-4  # the base against the bias model that stage 1 made of it
    assert all("kl" not in line for line in lines if line["stage"] == "bias")


def test_every_group_of_every_step_is_on_disk_with_its_version(finished: Path) -> None:
    lines = read_lines(finished / "metrics.jsonl")
    for line in lines:
        file = finished / "rollouts" / f"{line['stage']}-{line['step']:06d}.parquet"
        rows = pq.read_table(file).to_pylist()
        assert [len(row["completions"]) for row in rows] == [8] * 4
        assert {row["weights_version"] for row in rows} == {line["weights_version"]}
        has_anchor = line["stage"] == "cdpo"
        assert all((row["anchor_logprobs"] is not None) == has_anchor for row in rows)


def test_the_second_stage_records_the_bias_model_it_was_repelled_from(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    models = {model["name"]: model for model in summary["models"]}
    assert list(models) == ["base", "bias", "cdpo"]
    cdpo = next(stage for stage in summary["stages"] if stage["name"] == "cdpo")
    assert cdpo["kl"]["direction"] == "repel"
    assert cdpo["anchor"]["digest"] == models["bias"]["digest"]
    assert len({model["digest"] for model in models.values()}) == 3


def test_every_model_was_evaluated_on_both_kinds_of_questions(finished: Path) -> None:
    for model in json.loads((finished / "summary.json").read_text())["models"]:
        kinds = [model["evaluation"][kind]["n"] for kind in ("observational", "inferential")]
        assert sum(kinds) == 8
        assert all(kinds)


def test_every_model_keeps_what_it_answered_and_most_likely_would(
    finished: Path, mini_questions: list[Question]
) -> None:
    asked = mini_questions[:8]
    for model in json.loads((finished / "summary.json").read_text())["models"]:
        sampled, likeliest = (
            read_answers(finished / "stages" / model["name"], drawing)
            for drawing in ("sampled", "likeliest")
        )
        assert sampled.keys() == likeliest.keys() == {question.id for question in asked}
        said = [sampled[question.id].completion for question in asked]
        assert diagnose(asked, said)["overall"] == model["evaluation"]["overall"]
        for answer in (*sampled.values(), *likeliest.values()):
            assert len(answer.logprobs) == len(answer.token_ids) > 0
            assert all(answer.logprobs <= 0)


def test_the_report_stands_and_prometheus_misses_nobody(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "<svg" in page
    assert "data:image/jpeg" in page
    assert json.loads((finished / "prometheus_targets.json").read_text()) == []


def test_an_exported_model_answers_a_benchmark(
    finished: Path, mini_world: Path, tmp_path: Path
) -> None:
    code, out, err = Command(
        *("evaluate", "--model", finished / "stages" / "cdpo" / "model"),
        *("--benchmark", "clevrer", "--data", mini_world / "questions.parquet"),
        *("--videos", mini_world / "raw" / "videos", "--out", tmp_path / "out", "--json"),
        cache=tmp_path,
    ).finish()
    assert code == 0, err
    assert len(read_lines(tmp_path / "out" / "answers.jsonl")) == 24
    assert json.loads(out)["unanswered"] == 0
