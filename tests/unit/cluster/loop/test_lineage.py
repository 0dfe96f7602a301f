"""What a run's summary says of what made its models."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import run_config

from cluster.loop.lineage import Lineage
from videothinker.config.draw import DrawConfig
from videothinker.config.rewards import RewardConfig
from videothinker.config.settings import StageConfig
from videothinker.errors import VideoThinkerError
from videothinker.files import read_json
from videothinker.model.checkpoint import model_digest
from videothinker.run.directory import RunDirectory


def test_each_version_of_a_rewards_file_that_a_run_paid_with_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    stage = StageConfig(name="grpo", questions=tmp_path / "q.parquet")
    rewards = (RewardConfig(name="format"), RewardConfig(call=f"{file}:brief"))
    config = run_config(tmp_path, stage).model_copy(update={"rewards": rewards})
    run = RunDirectory.create(tmp_path / "run", "")

    def changed(text: str) -> bool:
        file.write_text(text)
        return Lineage(run, config).note_rewards()

    assert [changed(text) for text in ("one", "one", "two", "two")] == [False, False, True, False]
    summary = read_json(run.path / "summary.json")
    assert summary is not None
    (first, one), (second, two) = summary["rewards"]
    assert first == second == "format"
    assert one != two


def test_a_model_says_how_its_questions_were_drawn_where_that_was_chosen(tmp_path: Path) -> None:
    file = tmp_path / "q.parquet"
    for place in (file, tmp_path / "model" / "model.safetensors"):
        place.parent.mkdir(exist_ok=True)
        place.touch()
    for draw, said in (
        (DrawConfig(), None),
        (DrawConfig(by="column", column="hard"), {"by": "column", "column": "hard"}),
    ):
        stage = StageConfig(name="grpo", questions=file, draw=draw)
        lineage = Lineage(RunDirectory(tmp_path), run_config(tmp_path, stage))
        assert lineage.of_model(stage, 3).get("draw") == said


def test_which_questions_a_stage_draws_is_news_once(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    config = run_config(tmp_path, StageConfig(name="grpo", questions=tmp_path / "q.parquet"))
    assert Lineage(run, config).note_draw("grpo", {"by": "column", "never": 3})
    resumed = Lineage(run, config)
    assert not resumed.note_draw("grpo", {"by": "column", "never": 3})
    assert resumed.note_draw("other", {"by": "column", "never": 3})
    assert {*read_json(run.path / "summary.json")["draws"]} == {"grpo", "other"}


def test_a_model_that_the_disk_has_otherwise_than_it_was_written_counts_as_none(
    tmp_path: Path,
) -> None:
    run = RunDirectory.create(tmp_path / "run", "")
    config = run_config(tmp_path, StageConfig(name="grpo", questions=tmp_path / "q.parquet"))
    model = tmp_path / "made"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"as it was")
    written = model_digest(model)
    lineage = Lineage(run, config)
    lineage.add_model("earlier", model, None, written)
    (model / "model.safetensors").write_bytes(b"As it was")
    with pytest.raises(VideoThinkerError, match="made: not as it was written"):
        lineage.add_model("grpo", model, None, written)
    assert lineage.finished("earlier")
    assert not lineage.finished("grpo")
