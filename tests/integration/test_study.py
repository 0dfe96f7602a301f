"""A small study through the command line: killed on its way, gone on with, and its directions."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cli_process import Command, wait_for

from videothinker.config.settings import VideoConfig
from videothinker.files import read_lines
from videothinker.study.figures import curves, figure
from videothinker.study.table import table

ARMS = ("bias", "grpo", "tie_break")
pytestmark = pytest.mark.timeout(1800)  # four minutes, alone


@pytest.fixture(scope="module")
def file(mini_video: VideoConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped base, two seeds, three arms as in configs/study.yaml but shorter."""
    folder = tmp_path_factory.mktemp("study")
    size = {"steps": 12, "prompts_per_step": 6}
    whole = {"steps": 12, "prompts_per_step": 12}  # the bias model's figures are the sharpest
    tie_break = {"direction": "tie_break", "anchor": "bias", "coefficient": 0.5}
    study = {
        "name": "small",
        "out": str(folder / "out"),
        "results": str(folder / "results"),
        "warm_starts": ["shipped"],
        "seeds": [11, 12],
        "jobs": 1,
        "world": {"train": 100, "validation": 80},
        "divergence_questions": 4,
        "video": mini_video.model_dump(),
        "sampling": {"max_tokens": 48},
        "learner": {
            "learning_rate": 2e-4,
            "schedule": "constant",
            "max_grad_norm": 1.0,
            "save_every": 5,
        },
        "rollout": {"max_model_len": 512, "cache_gb": 0.25},
        "cluster": {"device": "cpu", "logprob_tolerance": 1e-4},
        "arms": [
            {"name": "bias", "questions": "bias", **whole},
            {"name": "grpo", **size},
            {"name": "tie_break", "kl": tie_break, **size},
        ],
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.fixture(scope="module")
def study(file: Path) -> dict[str, Any]:
    """Its results; the first command is killed when one cell is finished and the other has its bias
    model.
    """
    runs = [file.parent / "out" / "cells" / f"shipped-seed{seed}" / "run" for seed in (11, 12)]
    first = Command("study", file)
    second_stage = 13  # the line of its first step
    wait_for(
        lambda: len(read_lines(runs[1] / "metrics.jsonl")) >= second_stage,
        first,
        limit=900,
    )
    os.kill(first.process.pid, signal.SIGKILL)
    first.finish(60)
    before = [written(run) for run in runs]
    assert [list(models) for models in before] == [list(ARMS), ["bias"]]

    with ThreadPoolExecutor(1) as aside:
        gone = aside.submit(first.all_gone, 90)  # its Ray takes a minute to notice
        second = Command("study", file, "jobs=2", "--json")
        code, out, err = second.finish(900)
    assert code == 0, err
    assert gone.result(), "the killed study left processes behind"
    assert second.all_gone(90), "a finished study left processes behind"
    for models, run in zip(before, runs, strict=True):
        assert models.items() <= written(run).items(), "a finished stage was trained again"
    found: dict[str, Any] = json.loads(out)
    return found


def written(run: Path) -> dict[str, int]:
    """When the models of a run were written, by stage in the order of training."""
    files = {arm: run / "stages" / arm / "model" / "model.safetensors" for arm in ARMS}
    return {arm: file.stat().st_mtime_ns for arm, file in files.items() if file.is_file()}


def test_every_cell_has_every_arm(study: dict[str, Any]) -> None:
    assert study["missing"] == []
    assert list(study["cells"]) == ["shipped-seed11", "shipped-seed12"]
    for cell in study["cells"].values():
        assert list(cell["arms"]) == ["base", *ARMS]


def test_what_was_met_in_training_is_there_for_every_step(study: dict[str, Any]) -> None:
    assert {arm: len(entry["right"]) for arm, entry in study["learning"].items()} == {
        "bias": 12,
        "grpo": 12,
        "tie_break": 12,
    }
    assert set(study["learning"]["bias"]["right"]) == {None}, "an inferential question"


def test_every_figure_is_a_share_with_its_interval(study: dict[str, Any]) -> None:
    kinds = ("observational", "inferential", "overall", "reasoning_wording", "cosmetic")
    for entry in study["arms"].values():
        for kind in kinds:
            assert 0 <= entry[kind]["low"] <= entry[kind]["mean"] <= entry[kind]["high"] <= 1
    assert set(study["paired"]) == {f"{arm}-minus-grpo" for arm in ("base", "bias", "tie_break")}


def test_the_bias_model_is_no_nats_from_itself_and_the_others_are(study: dict[str, Any]) -> None:
    """Its sampler's log-probs are those of the forward that measures the divergence."""
    divergence = {arm: entry["divergence"]["mean"] for arm, entry in study["arms"].items()}
    assert abs(divergence["bias"]) < 1e-5
    assert all(abs(divergence[arm]) > 1e-4 for arm in ("base", "grpo", "tie_break"))


def test_the_same_base_answers_alike_in_every_cell_and_trained_models_do_not(
    study: dict[str, Any],
) -> None:
    first, second = (cell["arms"] for cell in study["cells"].values())
    apart = [dict(arms["base"]) for arms in (first, second)]
    biased = [arms.pop("divergence") for arms in apart]  # each from the bias model of its cell
    assert apart[0] == apart[1]
    assert biased[0] != biased[1]
    assert first["tie_break"] != second["tie_break"]


def test_the_files_say_what_the_command_says(study: dict[str, Any], file: Path) -> None:
    results = file.parent / "results"
    assert json.loads((results / "results.json").read_text()) == study
    assert (results / "table.md").read_text() == table(study)
    assert (results / "figure.svg").read_text() == figure(study)
    assert (results / "learning.svg").read_text() == curves(study)
    assert np.isfinite(study["minutes"])


def test_a_finished_study_is_measured_again_in_seconds(study: dict[str, Any], file: Path) -> None:
    code, out, err = Command("study", file, "reference=bias", "--json").finish(180)
    assert code == 0, err
    assert json.loads(out)["arms"] == study["arms"]
    assert "tie_break-minus-bias" in json.loads(out)["paired"]


def test_the_bias_model_and_plain_grpo_lose_the_inferential_answers_that_a_tie_break_keeps(
    study: dict[str, Any],
) -> None:
    """Tolerances: docs/study.md, how far seeds of one base lie apart."""
    means = {arm: entry["inferential"]["mean"] for arm, entry in study["arms"].items()}
    assert study["arms"]["bias"]["observational"]["mean"] > 0.95
    assert means["bias"] < 0.08
    assert means["grpo"] < means["base"] - 0.1
    assert means["tie_break"] > means["grpo"] + 0.2
