"""The whole pipeline through the command line: two stages, attacked in every way, gone on with.

Beside it the same configuration undisturbed: nothing of the attack may be seen in what it learned.
This is the short form of `make soak`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from attack import drawn_plan
from soak import Verdict, soak, soak_config

from videothinker.config.kl import KLConfig
from videothinker.config.settings import RunConfig, StageConfig, VideoConfig
from videothinker.evaluation.scores import diagnose
from videothinker.files import read_json, read_lines
from videothinker.run.answers import read_answers
from videothinker.types import Question

pytestmark = pytest.mark.timeout(1800)  # four minutes, alone

STEPS = {"bias": 8, "cdpo": 16}
PROMPTS = 2
"""Of a step."""
KILLS = {"rollout": 1, "scorer": 1, "learner": 1}
"""Drivers are killed in test_lora.py and test_study.py; here one is interrupted."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


def two_stages(base: Path, world: Path, out: Path, video: VideoConfig) -> RunConfig:
    """The second stage replays, and is repelled from what the first one has made."""
    config = soak_config(
        base,
        world,
        out / "clips",
        video,
        steps=STEPS["cdpo"],
        prompts_per_step=PROMPTS,
        workers=1,
    )
    [last] = config.stages
    repel = KLConfig(direction="repel", anchor="bias", coefficient=0.1)
    stages = (
        StageConfig(
            name="bias",
            questions=world / "bias.parquet",
            steps=STEPS["bias"],
            prompts_per_step=PROMPTS,
            guard=last.guard,
        ),
        last.model_copy(update={"kl": repel, "replay": 2}),
    )
    validation: dict[str, Any] = {
        "validation": world / "questions.parquet",
        "validation_questions": 8,
        "validation_likeliest": True,
    }
    # so slow that rewards go on to differ within groups: equal ones teach nothing
    learner = config.learner.model_copy(update={"learning_rate": 1e-4, "save_every": 3})
    data = config.data.model_copy(update=validation)
    return config.model_copy(update={"stages": stages, "data": data, "learner": learner})


@pytest.fixture(scope="module")
def verdict(taught_base: Path, mini_world: Path, mini_video: VideoConfig, out: Path) -> Verdict:
    """One worker, for a while two; killed, stopped, interrupted, resumed; then a quiet run."""
    config = two_stages(taught_base, mini_world, out, mini_video)
    steps = sum(STEPS.values())
    plan = drawn_plan(steps, seed=3, kills=KILLS, stops=1, scales=(2, 1), tear=1)
    return soak(config, out, plan)


@pytest.fixture(scope="module")
def finished(verdict: Verdict, out: Path) -> Path:
    """The run that was attacked."""
    return out / "attacked"


def models(run: Path) -> list[dict[str, Any]]:
    """As the summary lists them, with digests and results; not where they lie."""
    found = read_json(run / "summary.json")["models"]
    return [{key: model[key] for key in model if key != "path"} for model in found]


def test_it_was_attacked_in_every_way_and_recovered_each_time(verdict: Verdict) -> None:
    assert verdict.kills == KILLS
    assert verdict.stops == {"rollout": 1}
    assert verdict.ends == {"tear": 1}
    assert verdict.scaled == [2, 1]
    driver = "driver (interrupted, a state torn)"
    recovered = {"scorer", "learner", driver, "rollout", "rollout (stopped)"}
    assert verdict.recovery_seconds.keys() == recovered


def test_every_prompt_was_trained_once_an_epoch_and_in_order(verdict: Verdict) -> None:
    assert verdict.steps == sum(STEPS.values())
    assert verdict.prompts > verdict.questions  # so there was a second epoch
    assert (verdict.lost, verdict.repeated, verdict.in_order) == (0, 0, True)


def test_it_learned_bit_for_bit_what_the_undisturbed_run_learned(
    verdict: Verdict, finished: Path
) -> None:
    assert verdict.weights_moved > 0
    assert verdict.weights_equal
    assert verdict.metrics_equal
    assert models(finished) == models(finished.with_name("quiet"))


def test_a_driver_that_was_interrupted_left_no_process_behind(verdict: Verdict) -> None:
    assert verdict.left_behind == 0


def test_what_one_run_has_decoded_the_next_one_finds(verdict: Verdict, out: Path) -> None:
    assert read_json(out / "quiet" / "summary.json")["videos"]["decoded"] == 0


def test_a_resumed_run_has_every_step_once(finished: Path) -> None:
    steps = [(line["stage"], line["step"]) for line in read_lines(finished / "metrics.jsonl")]
    assert steps == [(name, step) for name in STEPS for step in range(1, STEPS[name] + 1)]


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
        assert [len(row["completions"]) for row in rows] == [8] * PROMPTS
        assert {row["weights_version"] for row in rows} == {line["weights_version"]}
        has_anchor = line["stage"] == "cdpo"
        assert all((row["anchor_logprobs"] is not None) == has_anchor for row in rows)


def test_the_second_stage_records_the_bias_model_it_was_repelled_from(finished: Path) -> None:
    summary = read_json(finished / "summary.json")
    models = {model["name"]: model for model in summary["models"]}
    assert list(models) == ["base", "bias", "cdpo"]
    cdpo = next(stage for stage in summary["stages"] if stage["name"] == "cdpo")
    assert cdpo["kl"]["direction"] == "repel"
    assert cdpo["anchor"]["digest"] == models["bias"]["digest"]
    assert len({model["digest"] for model in models.values()}) == 3


def test_every_model_was_evaluated_on_both_kinds_of_questions(finished: Path) -> None:
    for model in models(finished):
        kinds = [model["evaluation"][kind]["n"] for kind in ("observational", "inferential")]
        assert sum(kinds) == 8
        assert all(kinds)


def test_every_model_keeps_what_it_answered_and_most_likely_would(
    finished: Path, mini_questions: list[Question]
) -> None:
    asked = mini_questions[:8]
    for model in models(finished):
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
