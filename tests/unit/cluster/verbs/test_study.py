"""A study goes on with what there is."""

from __future__ import annotations

import json
from pathlib import Path

from small_study import small_study

from cluster.verbs.study import extend, trained
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import finished_summary
from videothinker.study.cells import cells, runs_of
from videothinker.study.config import Arm, StudyConfig


def first_run(study: StudyConfig) -> RunConfig:
    return runs_of(study, cells(study)[0])[0]


def finished_run(study: StudyConfig) -> RunConfig:
    """As `videothinker train` leaves it, without the models."""
    config = first_run(study)
    run = RunDirectory.create(config.out, to_yaml(config))
    models = [{"name": name} for name in ("base", *(stage.name for stage in config.stages))]
    run.summary({"models": models, "stages": [], "finished": 1.0})
    return config


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run = finished_run(small_study(tmp_path))
    files = [run.out / name for name in ("summary.json", "config.yaml")]
    before = [file.read_bytes() for file in files]
    extend(run)
    assert trained([run]) == 3
    assert finished_summary(run.out) is not None
    assert before == [file.read_bytes() for file in files]


def test_an_added_arm_is_one_more_stage_to_do(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    finished_run(study)
    longer = first_run(study.model_copy(update={"arms": (*study.arms, Arm(name="new"))}))
    extend(longer)
    assert finished_summary(longer.out) is None
    assert len(json.loads((longer.out / "summary.json").read_text())["models"]) == 4
    assert load_config(longer.out / "config.yaml") == longer


def test_a_run_that_has_not_begun_has_nothing_to_extend(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    extend(first_run(study))
    assert not study.out.exists()
