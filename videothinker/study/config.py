"""A study's settings: a run's, without what its cells do not share, and what it repeats."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import first_difference
from videothinker.config.rewards import PAPERS_REWARDS, RewardConfig
from videothinker.config.section import Place, Positive, Section
from videothinker.config.settings import (
    ClusterConfig,
    DType,
    FaultsConfig,
    RolloutConfig,
    SamplingConfig,
    StageConfig,
    VideoConfig,
)
from videothinker.errors import InputError
from videothinker.files import atomic_write

BASE = "base"
"""The arm that every study has: the models that the others start from."""
NO_MODEL_DEPENDS_ON = (
    *("out", "results", "jobs", "warm_starts", "seeds"),
    *("divergence_questions", "reference", "compare", "curves"),
)
"""Settings that may change between two calls for one study."""
MOST_CURVES = 6
"""As many as a chart has colours."""
Mix = Literal["all", "bias", "balanced"]


class StudyWorld(Section):
    """How many mini CLEVRER videos are made; those of the three splits are never the same."""

    seed: int = 42
    train: Positive = 1000
    validation: Positive = 300
    test: Positive = 600


class Arm(StageConfig):
    """One way of training: a stage, with a word for its questions."""

    questions: Mix = "all"  # type: ignore[assignment]  # the files are the study's to make
    """all: every training question; bias: those of the bias model; balanced: as many observational
    as inferential ones, by their true labels."""
    validate_every: int = Field(default=0, ge=0)
    """Arms are compared at their ends."""
    learner: LearnerConfig | None = None
    """What replaces the study's learner, key by key, `lora` as a whole. Arms with the same are
    stages of one run."""


class StudyConfig(Section):
    """Arms by warm starts by seeds; every pair of a warm start and a seed is a cell."""

    name: str
    out: Place
    results: Place
    """Folder of results.json, table.md, figure.svg and learning.svg."""
    warm_starts: tuple[Literal["shipped"] | int | Place, ...] = Field(min_length=1)
    """Base models: the seed of one that is made here, the folder of one that exists, or shipped."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Of the training."""
    jobs: Positive = 1
    """Cells that are run side by side."""
    world: StudyWorld = StudyWorld()
    split: Literal["validation", "test"] = "validation"
    """The questions that models are measured with; test is for tables that are published."""
    divergence_questions: Positive = 100
    """How many of them the divergence from the bias model is measured on."""
    dtype: DType = "float32"
    video: VideoConfig = VideoConfig()
    sampling: SamplingConfig = SamplingConfig()
    rewards: tuple[RewardConfig, ...] = PAPERS_REWARDS
    learner: LearnerConfig = LearnerConfig()
    rollout: RolloutConfig = RolloutConfig()
    cluster: ClusterConfig = ClusterConfig(device="cpu")
    faults: FaultsConfig = FaultsConfig()
    arms: tuple[Arm, ...] = Field(min_length=1)
    reference: str = "grpo"
    """The arm that every other one is compared with."""
    compare: tuple[tuple[str, str], ...] = ()
    """Further pairs of arms: the first minus the second."""
    curves: tuple[str, ...] = Field(default=(), max_length=MOST_CURVES)
    """Arms whose training is drawn in learning.svg; where none is named, see `drawn`."""

    @field_validator("arms")
    @classmethod
    def _whole_learners(cls, arms: tuple[Arm, ...], info: ValidationInfo) -> tuple[Arm, ...]:
        """What an arm's learner does not say is the study's."""
        shared: LearnerConfig = info.data.get("learner", LearnerConfig())
        return tuple(
            arm
            if arm.learner is None
            else arm.model_copy(update={"learner": replaced(shared, arm.learner)})
            for arm in arms
        )

    @property
    def arm_names(self) -> tuple[str, ...]:
        """The base, then the arms in the order they are trained."""
        return (BASE, *(arm.name for arm in self.arms))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every comparison: each arm with the reference, then those asked for."""
        against = [(name, self.reference) for name in self.arm_names if name != self.reference]
        return tuple(dict.fromkeys([*against, *self.compare]))

    @property
    def drawn(self) -> tuple[str, ...]:
        """`curves`, or the reference and the first other arms that are trained."""
        others = [arm.name for arm in self.arms if arm.name != self.reference]
        return self.curves or (self.reference, *others)[:MOST_CURVES]


def replaced(shared: LearnerConfig, own: LearnerConfig) -> LearnerConfig:
    """Settings, with those in their place that were given."""
    return shared.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def require_same_study(study: StudyConfig) -> None:
    """Remembers a study in its folder; InputError where the folder holds another one's models.

    More warm starts and seeds are more cells of the same study, and more arms, after those there
    are, more stages of its cells.
    """
    file = study.out / "study.json"
    if file.is_file():
        theirs = StudyConfig.model_validate_json(file.read_text())
        same: dict[str, Any] = {name: getattr(theirs, name) for name in NO_MODEL_DEPENDS_ON}
        same["arms"] = study.arms[: len(theirs.arms)]
        difference = first_difference(study.model_copy(update=same), theirs)
        if difference is not None:
            raise InputError(
                f"{study.out}: holds a study with other settings: {difference}. Give the same to go"
                " on with it (warm starts and seeds may change, arms be added after the others), or"
                " another folder: out=DIR"
            )
    atomic_write(file, study.model_dump_json(indent=1) + "\n")
