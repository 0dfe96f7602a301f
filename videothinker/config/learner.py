"""The update: what is trained, how, and by whom."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from videothinker.config.lora import LoraConfig
from videothinker.config.section import Positive, Section

Part = Literal["vision", "merger", "embeddings", "layers"]
"""A part of the model; the embeddings include the output head, which may share their weights."""


class LearnerConfig(Section):
    """The update."""

    learning_rate: float = Field(default=1e-6, gt=0)
    schedule: Literal["linear", "constant"] = "linear"
    """linear: falls to zero over the stage's steps."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises to its full height, before the schedule."""
    max_grad_norm: float = Field(default=20.0, gt=0)
    clip_low: float = Field(default=0.2, gt=0, lt=1)
    clip_high: float = Field(default=0.28, gt=0)
    aggregation: Literal["sequence", "token"] = "sequence"
    """Every completion counts alike, or every token of the step."""
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
