"""A study goes on with what there is."""

from __future__ import annotations

import json
from pathlib import Path

from small_study import small_study

from cluster.verbs.study import extend, trained
from videothinker.config.loading import load_config, to_yaml
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import finished_summary
from videothinker.study.cells import Cell, cells, run_of
from videothinker.study.config import Arm, StudyConfig


def finished_cell(study: StudyConfig) -> Cell:
    """As `videothinker train` leaves it, without the models."""
    cell = cells(study)[0]
    run = RunDirectory.create(cell.run, to_yaml(run_of(study, cell)))
    models = [{"name": name} for name in study.arm_names]
    run.summary({"models": models, "stages": [], "finished": 1.0})
    return cell


def test_a_finished_cell_is_left_alone(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    cell = finished_cell(study)
    before = (cell.run / "summary.json").read_bytes(), (cell.run / "config.yaml").read_bytes()
    extend(study, cell)
    assert trained([cell]) == 3
    assert finished_summary(cell.run) is not None
    assert before == (
        *((cell.run / "summary.json").read_bytes(), (cell.run / "config.yaml").read_bytes()),
    )


def test_an_added_arm_is_one_more_stage_to_do(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    cell = finished_cell(study)
    longer = study.model_copy(update={"arms": (*study.arms, Arm(name="new"))})
    extend(longer, cell)
    assert finished_summary(cell.run) is None
    assert len(json.loads((cell.run / "summary.json").read_text())["models"]) == 4
    assert load_config(cell.run / "config.yaml") == run_of(longer, cell)


def test_a_cell_that_has_not_begun_has_nothing_to_extend(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    extend(study, cells(study)[0])
    assert not study.out.exists()
