"""What an adapter is made of."""

from __future__ import annotations

from pydantic import Field

from videothinker.config.section import Positive, Section

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Matrices of a layer of the language model, as its checkpoint calls them."""
BESIDE = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for beside its weights; an adapter takes the next one."""


class LoraConfig(Section):
    """What is trained in place of the model: two small matrices beside each of some large ones,
    which keep their numbers (LoRA)."""

    rank: Positive = 16
    """Rows of the one and columns of the other."""
    alpha: float = Field(default=32.0, gt=0)
    """Their product counts alpha / rank times."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of what goes into them while learning: sampler and learner then disagree by as much."""
    targets: tuple[str, ...] = Field(default=LINEARS, min_length=1)
    """The large ones in each layer of the language model."""
    vision: bool = False
    """Those of the vision tower and its merger as well, all of them."""

    @property
    def scale(self) -> float:
        return self.alpha / self.rank
