"""The configuration: every setting of a run, typed, with the paper's values as defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Place = Annotated[Path, AfterValidator(Path.absolute)]
"""A file or folder; relative ones count from where the command is given, once and for all."""
Positive = Annotated[int, Field(gt=0)]
Device = Literal["cpu", "cuda"]
DType = Literal["float32", "bfloat16"]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelConfig(Section):
    """The policy that training starts from."""

    path: Place
    dtype: DType = "bfloat16"


class VideoConfig(Section):
    """What of a video the model sees. Pixels count per frame, except total_pixels."""

    fps: float = Field(default=2.0, gt=0)
    min_frames: Positive = 4
    max_frames: Positive = 16
    min_pixels: Positive = 16 * 28 * 28
    max_pixels: Positive = 128 * 28 * 28
    total_pixels: Positive = 16 * 128 * 28 * 28


class DataConfig(Section):
    """Prepared questions (`videothinker prepare`) and the folder of their videos."""

    videos: Place
    validation: Place | None = None
    validation_questions: Positive = 200
    """How many validation questions are answered after each stage."""


class SamplingConfig(Section):
    """How a group is drawn."""

    group_size: Annotated[int, Field(ge=2)] = 8
    temperature: float = Field(default=1.0, gt=0)
    max_tokens: Positive = 768


class KLConfig(Section):
    """The divergence term: away from the bias model, towards it, or absent."""

    direction: Literal["repel", "attract", "none"] = "none"
    anchor: str = "bias"
    """bias: an earlier stage's result; base: this stage's initial model; otherwise a path."""
    coefficient: float = Field(default=0.01, ge=0)
    estimator: Literal["k3"] = "k3"
    bound: float = Field(default=11.0, gt=0)


class LearnerConfig(Section):
    """The update."""

    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["linear", "constant"] = "linear"
    """linear: falls to zero over the stage's steps."""
    max_grad_norm: float = Field(default=20.0, gt=0)
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.28, gt=0)
    ranks: Positive = 1
    zero_stage: Literal[0, 2, 3] = 2
    gradient_checkpointing: bool = True
    save_every: Positive = 50


class RolloutConfig(Section):
    """The rollout workers: one vLLM engine each."""

    workers: Positive = 1
    max_model_len: Positive = 8192
    cache_gb: float = Field(default=4.0, gt=0)
    """Memory of one engine's key-value cache."""


class ClusterConfig(Section):
    """Where Ray runs."""

    address: str | None = None
    """An existing cluster ("auto" or host:port); None is the cluster of the surrounding Ray job,
    and outside of one a private cluster on this machine."""
    device: Device = "cuda"
    logprob_tolerance: float = Field(default=0.05, gt=0)
    """Largest mean gap between sampler and learner log-probs that a step may show."""


class StageConfig(Section):
    """One stage of training: its questions, its length and its divergence term."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    questions: Place
    steps: Positive = 500
    prompts_per_step: Positive = 2
    kl: KLConfig = KLConfig()


class RunConfig(Section):
    """One run: one stage, or several that follow each other."""

    name: str
    out: Place
    seed: int = 42
    model: ModelConfig
    data: DataConfig
    video: VideoConfig = VideoConfig()
    sampling: SamplingConfig = SamplingConfig()
    rewards: tuple[Literal["soft_accuracy", "format"], ...] = ("soft_accuracy", "format")
    learner: LearnerConfig = LearnerConfig()
    rollout: RolloutConfig = RolloutConfig()
    cluster: ClusterConfig = ClusterConfig()
    stages: tuple[StageConfig, ...] = Field(min_length=1)
