"""Which runs a study is made of, and where everything of it lies.

OUT/inputs/                 videos, prepared questions, base models; made once, for all cells
OUT/cells/NAME/run/         one run: a warm start and a seed, all arms as its stages
OUT/cells/NAME/config.yaml  what `videothinker train` is started with; its output goes to log
OUT/cells/NAME-ARM/         the same for arms with learner settings of their own, ARM the first
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from videothinker import mini
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import (
    DataConfig,
    GuardConfig,
    ModelConfig,
    RunConfig,
    StageConfig,
)
from videothinker.study.config import Arm, StudyConfig
from videothinker.types import Question

KINDS = ("observational", "inferential")
PASSED_ON = ("video", "sampling", "rewards", "rollout", "cluster", "faults")
"""Settings of a study that every run has, as they are."""
QUESTIONS = {"all": "questions", "bias": "bias", "balanced": "balanced"}
"""The file of each mix of questions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One warm start and one seed."""

    warm_start: str
    """The base model's name in the study."""
    seed: int
    base: Path
    folder: Path

    @property
    def name(self) -> str:
        """As in results.json, and of its folder."""
        return self.folder.name


def cells(study: StudyConfig) -> list[Cell]:
    """In the order they are run: each warm start once before any is repeated."""
    found = []
    for seed in study.seeds:
        for warm_start in study.warm_starts:
            name, base = _base(study, warm_start)
            folder = study.out / "cells" / f"{name}-seed{seed}"
            found.append(Cell(warm_start=name, seed=seed, base=base, folder=folder))
    return found


def _base(study: StudyConfig, warm_start: str | int | Path) -> tuple[str, Path]:
    """Name and folder of a base model."""
    if isinstance(warm_start, int):
        name = f"base{warm_start}"
        return name, inputs(study) / name
    if isinstance(warm_start, Path):
        return warm_start.name, warm_start
    return warm_start, mini.SHIPPED_BASE


def inputs(study: StudyConfig) -> Path:
    """Folder of what is made once, for all cells."""
    return study.out / "inputs"


def arms_by_learner(study: StudyConfig) -> dict[LearnerConfig, list[Arm]]:
    """Those with the same are stages of one run; of one with the study's first."""
    found: dict[LearnerConfig, list[Arm]] = {study.learner: []}
    for arm in study.arms:
        found.setdefault(arm.learner or study.learner, []).append(arm)
    return {learner: arms for learner, arms in found.items() if arms}


def runs_of(study: StudyConfig, cell: Cell) -> list[RunConfig]:
    """A cell as runs like any other, one for each learner."""
    return [_run(study, cell, *found) for found in arms_by_learner(study).items()]


def _run(study: StudyConfig, cell: Cell, learner: LearnerConfig, arms: Sequence[Arm]) -> RunConfig:
    shared = inputs(study)
    own = f"-{arms[0].name}" if learner != study.learner else ""
    return RunConfig(
        name=f"{study.name}-{cell.name}{own}",
        out=cell.folder.with_name(f"{cell.name}{own}") / "run",
        seed=cell.seed,
        model=ModelConfig(path=cell.base, dtype=study.dtype),
        data=DataConfig(
            videos=shared / "videos",
            validation=shared / study.split / "questions.parquet",
            validation_questions=getattr(study.world, study.split),
            validation_likeliest=True,
            cache=shared / "clips",
        ),
        **{name: getattr(study, name) for name in PASSED_ON},
        learner=learner,
        stages=tuple(_stage(shared / "train", arm) for arm in arms),
    )


def _stage(train: Path, arm: Arm) -> StageConfig:
    """With what was given and nothing else, so that settings without effect are noticed.

    Only the guard is off where an arm does not ask for it: a collapse is a result, and the arms
    after it are to be measured, too.
    """
    given = {name: getattr(arm, name) for name in arm.model_fields_set - {"questions", "learner"}}
    given.setdefault("guard", GuardConfig(action="off"))
    return StageConfig(**given, questions=train / f"{QUESTIONS[arm.questions]}.parquet")


def balanced(questions: Sequence[Question], seed: int = 0) -> list[Question]:
    """As many observational as inferential questions, as many as there are, in the given order."""
    places = [[i for i, q in enumerate(questions) if q.category == kind] for kind in KINDS]
    fewest = min(map(len, places))
    rng = np.random.default_rng(seed)
    kept = np.sort(np.concatenate([rng.permutation(some)[:fewest] for some in places]))
    return [questions[int(place)] for place in kept]
