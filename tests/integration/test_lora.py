"""Both stages with adapters, as a user runs them: the learner scores, a run that is killed goes on,
the adapter answers as the whole model that it is merged into."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from cli_process import Command, wait_for
from safetensors.torch import load_file
from same_training import untimed

from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import to_yaml
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RunConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_json, read_lines
from videothinker.mini import SHIPPED_BASE
from videothinker.model.checkpoint import model_digest

LORA = LoraConfig(rank=4, alpha=8)


@pytest.fixture(scope="module")
def config(run_config: RunConfig) -> RunConfig:
    """Each stage as long as two states; no scorer."""
    stages = tuple(stage.model_copy(update={"steps": 4}) for stage in run_config.stages)
    return run_config.model_copy(
        update={
            "stages": stages,
            "model": run_config.model.model_copy(update={"path": SHIPPED_BASE}),
            "learner": LearnerConfig(learning_rate=3e-3, save_every=2, lora=LORA),
            "cluster": run_config.cluster.model_copy(update={"scorers": 0}),
        }
    )


@pytest.fixture(scope="module")
def runs(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that nobody disturbed, and one all of whose processes were killed at some step of its
    second stage, and which then went on."""
    folder = tmp_path_factory.mktemp("lora")
    file, whole, killed = (folder / name for name in ("config.yaml", "whole", "killed"))
    file.write_text(to_yaml(config))
    undisturbed = Command("train", file, f"out={whole}")
    code, _, err = undisturbed.finish()
    assert code == 0, err
    victim = Command("train", file, f"out={killed}")
    at = len(config.stages) * 4 - random.randint(1, 3)
    wait_for(lambda: len(read_lines(killed / "metrics.jsonl")) >= at, victim)
    time.sleep(random.random() / 2)
    for pid in victim.living():
        os.kill(pid, signal.SIGKILL)
    victim.finish()
    code, _, err = Command("train", "--resume", killed).finish()
    assert code == 0, err
    return whole, killed


@pytest.fixture(scope="module")
def adapter(runs: tuple[Path, Path]) -> Path:
    return runs[0] / "stages" / "cdpo" / "model"


@pytest.mark.parametrize("stage", ["bias", "cdpo"])
def test_a_run_that_was_killed_has_the_same_adapters_bit_for_bit(
    runs: tuple[Path, Path], stage: str
) -> None:
    whole, killed = (
        load_file(run / f"stages/{stage}/model/adapter_model.safetensors") for run in runs
    )
    assert whole.keys() == killed.keys()
    assert all(torch.equal(tensor, killed[name]) for name, tensor in whole.items())
    assert any(tensor.any() for name, tensor in whole.items() if "lora_B" in name)


def test_it_took_the_same_steps(runs: tuple[Path, Path]) -> None:
    whole, killed = map(untimed, runs)
    assert killed == whole
    assert all(line["logprob_gap_max"] < 1e-4 for line in whole)
    assert any(line["kl"] > 0 for line in whole if line["stage"] == "cdpo")


def test_nobody_scored_but_the_learner(runs: tuple[Path, Path]) -> None:
    events = read_lines(runs[0] / "events.jsonl")
    assert {event["role"] for event in events} == {"loader", "rollout", "learner"}


def test_a_state_and_an_export_hold_no_weights_of_the_base(
    adapter: Path, config: RunConfig
) -> None:
    base = (SHIPPED_BASE / "model.safetensors").stat().st_size
    assert (adapter / "adapter_model.safetensors").stat().st_size < base / 5
    assert not (adapter / "config.json").exists()
    lineage = read_json(adapter / "lineage.json")
    assert lineage["lora"] == LORA.model_dump(mode="json")
    assert lineage["base"]["digest"] == model_digest(SHIPPED_BASE)
    assert "PeftModel" in (adapter / "README.md").read_text()


def test_the_adapter_answers_as_the_whole_model_that_it_is_merged_into(
    runs: tuple[Path, Path], adapter: Path, mini_world: Path, tmp_path: Path
) -> None:
    asked, merged = tmp_path / "questions.parquet", tmp_path / "merged"
    write_questions(asked, read_questions(mini_world / "questions.parquet")[:12])
    code, out, err = Command("merge", runs[0], "--out", merged, "--json").finish()
    assert code == 0, err
    assert json.loads(out)["digest"] == model_digest(merged)
    assert read_json(merged / "lineage.json")["merged"]["digest"] == model_digest(adapter)
    said = []
    for number, model in enumerate((adapter, merged)):
        folder = tmp_path / str(number)
        command = Command(
            *("evaluate", "--model", model, "--benchmark", "clevrer", "--data", asked),
            *("--videos", mini_world / "raw" / "videos", "--out", folder),
        )
        code, _, err = command.finish()
        assert code == 0, err
        said.append({one["id"]: one["completion"] for one in read_lines(folder / "answers.jsonl")})
    assert len(said[0]) == 12
    assert said[0] == said[1]
