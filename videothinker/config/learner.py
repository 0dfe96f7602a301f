"""The update: what is trained, how, and by whom."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from videothinker.config.lora import LoraConfig
from videothinker.config.section import Positive, Section

Scale = Literal["std", "none", "batch"]
Baseline = Literal["mean", "leave_one_out"]
Ratio = Literal["token", "sequence"]
Clipping = Literal["ppo", "cispo", "smooth"]
Aggregation = Literal["sequence", "token", "budget"]
Part = Literal["vision", "merger", "embeddings", "layers"]
"""A part of the model; the embeddings include the output head, which may share their weights."""


class AdvantageConfig(Section):
    """What a completion's reward is compared with, and what the difference is divided by
    (docs/objective.md)."""

    scale: Scale = "std"
    """std: by the group's standard deviation. none: by nothing. batch: by that of all the step's
    rewards."""
    baseline: Baseline = "mean"
    """Of the whole group, or of its other completions."""


class LearnerConfig(Section):
    """The update."""

    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["linear", "constant"] = "linear"
    """linear: falls to zero over the stage's steps."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises to its full height, before the schedule."""
    max_grad_norm: float = Field(default=20.0, gt=0)
    updates_per_step: Positive = 1
    """Updates from one step's groups, each from its part of them. After the first the policy is not
    the one that was sampled from, and ratio and clip have an effect."""
    overlap: bool = False
    """Learn from a step's first groups while its others are sampled; the update is at its end."""
    ratio: Ratio = "token"
    """Of the policy to the one that the step began with: of each token, or of its completion."""
    clip: Clipping = "ppo"
    """What a ratio far from 1 does: see docs/objective.md."""
    clip_low: float = Field(default=0.2, gt=0, le=1)
    """1: no limit below."""
    clip_high: float = Field(default=0.28, gt=0)
    clip_width: float = Field(default=12.5, gt=0)
    """With clip smooth, the change of a token's probability at which it is not pushed further."""
    aggregation: Aggregation = "sequence"
    """Every completion counts alike; or every token of the step; or every token, over
    sampling.max_tokens, so that no length is favoured."""
    entropy_bonus: float = Field(default=0.0, allow_inf_nan=False)
    """What a nat of a token's entropy adds to the gain; less than 0 takes it off."""
    importance_cap: float | None = Field(default=None, ge=1)
    """Weigh tokens by how much likelier the policy finds them than their sampler, at most so much;
    None only measures it."""
    mask_truncated: bool = False
    """Completions that were cut off at sampling.max_tokens contribute nothing."""
    freeze: tuple[Part, ...] = ()
    """Parts of the model that keep their weights."""
    lora: LoraConfig | None = None
    """Train an adapter, and keep all of the model's own weights; {} has the defaults."""
    ranks: Positive = 1
    zero_stage: Literal[0, 2, 3] = 2
    offload: bool = False
    """Keep the optimizer's states, and do its arithmetic, on the host."""
    gradient_checkpointing: bool = True
    save_every: Positive = 50
    keep_states: Positive = 2
    """How many of a stage's newest states are kept."""

    @property
    def frozen(self) -> tuple[Part, ...]:
        """Parts in which nothing is trained."""
        if self.lora is None:
            return self.freeze
        return ("embeddings",) if self.lora.vision else ("vision", "merger", "embeddings")
