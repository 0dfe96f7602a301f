"""A study goes on with what there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from small_study import SETTINGS, small_exam, small_study

from cluster.verbs.study import extend, measure_cell, trained
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.run.answers import Answer, write_answers
from videothinker.run.directory import RunDirectory
from videothinker.run.lock import finished_summary
from videothinker.study.cells import cells, runs_of
from videothinker.study.config import Arm, StudyConfig
from videothinker.study.results import results


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


def answers(stage: Path, letter: str) -> None:
    """This letter to every question of the small exam."""
    given = [
        Answer(
            id=question.id,
            drawing="sampled",
            completion=f"<answer>{letter}</answer>",
            token_ids=np.array([1], np.int64),
            logprobs=np.array([-1.0], np.float32),
        )
        for question in small_exam().questions
    ]
    write_answers(stage, given)


def test_a_cell_of_two_runs_has_the_arms_of_both_and_the_base_of_the_first(tmp_path: Path) -> None:
    low = {"learner": {"learning_rate": 1e-3}, "replay": 1}
    arms = [{"name": "grpo", "replay": 1}, {"name": "low", **low}, {"name": "lower", **low}]
    places = {"out": tmp_path / "out", "results": tmp_path, "compare": [], "arms": arms}
    study = StudyConfig.model_validate(SETTINGS | places)
    cell = cells(study)[0]
    first, second = (run.out / "stages" for run in runs_of(study, cell))
    answers(first / "base", "A")
    answers(first / "grpo", "B")
    answers(second / "base", "B")
    answers(second / "low", "A")
    why = {runs_of(study, cell)[1].name: "the disk is full"}
    found = measure_cell(study, cell, small_exam(), why)
    right = {arm: values["overall"].mean() for arm, values in found.arms.items()}
    assert right == {"base": 1, "grpo": 0, "low": 1}
    assert list(found.learning) == ["grpo", "low"]
    assert results(study, small_exam(), [found])["missing"] == [
        {"cell": "base1-seed11", "arm": "lower", "reason": "the disk is full"}
    ]
