"""Each video is decoded once, however often it is used; damaged ones cost their question only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cli_process import Command
from damaged_videos import write_damaged_videos
from mini_worlds import prepared_world

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig, StageConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_json, read_lines
from videothinker.types import Question

QUESTIONS, PROMPTS = 130, 10
"""Of the second stage, which asks each once, and of a step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A run over good videos and damaged ones, and what it was asked."""

    run: Path
    good: Sequence[Question]
    damaged: Sequence[Question]


@pytest.fixture(scope="module")
def asked(run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Two stages, G=8, bias model and anchor; every damaged video among the good ones."""
    world = prepared_world(tmp_path_factory.mktemp("many"), QUESTIONS, seed=11)
    videos, whole = world / "raw" / "videos", read_questions(world / "questions.parquet")
    names = write_damaged_videos(videos / "damaged", videos / whole[0].video)
    damaged = [replace(whole[0], id=name, video=f"damaged/{name}") for name in names]
    good = whole[: QUESTIONS - len(damaged)]
    write_questions(world / "few.parquet", good[:PROMPTS])
    write_questions(world / "all.parquet", [*good, *damaged])

    def stage(stage: StageConfig, name: str, steps: int) -> StageConfig:
        changes = {"questions": world / name, "steps": steps, "prompts_per_step": PROMPTS}
        return stage.model_copy(update=changes)

    first, second = run_config.stages
    stages = (stage(first, "few.parquet", 1), stage(second, "all.parquet", QUESTIONS // PROMPTS))
    data = {"videos": videos, "validation": None, "max_skipped_share": 1.0}
    config = run_config.model_copy(
        update={
            "stages": stages,
            "data": run_config.data.model_copy(update=data),
            # what is said does not matter here, and saying little is quick
            "sampling": run_config.sampling.model_copy(update={"max_tokens": 4}),
        }
    )
    file, run = world / "config.yaml", world / "run"
    file.write_text(to_yaml(config))
    code, _, err = Command("train", file, f"out={run}").finish()
    assert code == 0, err
    return Asked(run=run, good=good, damaged=damaged)


def test_a_training_run_decodes_each_video_once(asked: Asked) -> None:
    assert len(asked.good) >= 50
    trained = sum(line["samples"] for line in read_lines(asked.run / "metrics.jsonl"))
    assert trained == (PROMPTS + len(asked.good)) * 8
    assert read_json(asked.run / "summary.json")["videos"] == {
        "decoded": len(asked.good),
        "reused": PROMPTS,  # those of the bias stage
        "failed": len(asked.damaged),
    }


def test_damaged_files_neither_stop_nor_hang_a_run_and_each_is_in_the_ledger(asked: Asked) -> None:
    assert len(asked.damaged) >= 30
    ledger = {
        line["question_id"]: line["reason"] for line in read_lines(asked.run / "skipped.jsonl")
    }
    assert ledger.keys() == {question.id for question in asked.damaged}
    assert all(ledger.values())
