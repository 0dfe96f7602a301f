"""Each video is decoded once, however often it is used; damaged ones cost their question only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command
from damaged_videos import write_damaged_videos
from mini_worlds import prepared_world

from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.questions import read_questions, write_questions
from videothinker.files import read_lines

VIDEOS, PROMPTS = 60, 10
"""Of the world, and of one step."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mini world that is trained on once."""
    return prepared_world(tmp_path_factory.mktemp("many"), VIDEOS, seed=11)


def train(config: RunConfig, folder: Path, **data: Any) -> Path:
    """A run to its end; returns its folder."""
    file = folder / "config.yaml"
    file.write_text(to_yaml(config.model_copy(update=data)))
    run = folder / "run"
    code, _, err = Command("train", file, f"out={run}").finish(400)
    assert code == 0, err
    return run


def on_all_of(world: Path, config: RunConfig, cache: Path) -> dict[str, Any]:
    """The two stages over every question of a world: G=8, bias model, anchor, learner."""
    bias, cdpo = config.stages
    stages = (
        bias.model_copy(
            update={"questions": world / "bias.parquet", "steps": 1, "prompts_per_step": PROMPTS}
        ),
        cdpo.model_copy(
            update={
                "questions": world / "questions.parquet",
                "steps": VIDEOS // PROMPTS,
                "prompts_per_step": PROMPTS,
            }
        ),
    )
    data = config.data.model_copy(
        update={"videos": world / "raw" / "videos", "validation": None, "cache": cache}
    )
    # what is said does not matter here, and saying little is quick
    sampling = config.sampling.model_copy(update={"max_tokens": 4})
    return {"stages": stages, "data": data, "sampling": sampling}


def test_a_training_run_decodes_each_video_once_and_the_next_run_none(
    many: Path, run_config: RunConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    counts = []
    for name in ("first", "second"):
        run = train(run_config, tmp_path_factory.mktemp(name), **on_all_of(many, run_config, cache))
        trained = sum(line["samples"] for line in read_lines(run / "metrics.jsonl"))
        assert trained == (PROMPTS + VIDEOS) * 8
        counts.append(json.loads((run / "summary.json").read_text())["videos"])
    assert [count["decoded"] for count in counts] == [VIDEOS, 0]
    # the bias stage's again; a question that no step asks for is not prepared
    assert [count["reused"] for count in counts] == [PROMPTS, PROMPTS + VIDEOS]
    assert [count["failed"] for count in counts] == [0, 0]


def test_damaged_files_neither_stop_nor_hang_a_run_and_each_is_in_the_ledger(
    mini_world: Path, run_config: RunConfig, tmp_path: Path
) -> None:
    good = read_questions(mini_world / "questions.parquet")[:20]
    videos = tmp_path / "videos"
    names = write_damaged_videos(videos, mini_world / "raw" / "videos" / good[0].video)
    assert len(names) >= 30
    for question in good:
        (videos / question.video).symlink_to(mini_world / "raw" / "videos" / question.video)
    questions = good + [replace(good[0], id=f"damaged/{name}", video=name) for name in names]
    write_questions(tmp_path / "questions.parquet", questions)
    steps = -(-len(questions) // 10)
    only = run_config.stages[0].model_copy(
        update={
            "questions": tmp_path / "questions.parquet",
            "steps": steps,
            "prompts_per_step": 10,
        }
    )
    data = run_config.data.model_copy(
        update={"videos": videos, "validation": None, "max_skipped_share": 1.0}
    )
    run = train(run_config, tmp_path, stages=(only,), data=data)
    ledger = {line["question_id"]: line["reason"] for line in read_lines(run / "skipped.jsonl")}
    assert {f"damaged/{name}" for name in names} <= set(ledger)
    assert all(ledger.values())
    assert not {question.id for question in good} & set(ledger)
