"""The divergence term: away from the bias model, towards it, or absent."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from videothinker.config.hub_names import model_place
from videothinker.config.section import Positive, Section

AnchorView = Literal["video", "blind", "frame", "shuffled", "masked"]
"""What the anchor sees of what is shown: all; nothing; one time at all times; its times out of
order; 40% of its merged patches."""
AnchorName = Annotated[
    str, AfterValidator(lambda name: str(model_place(name)) if os.sep in name else name)
]
"""A name, or the place of a model."""


class KLConfig(Section):
    """The divergence term: away from the bias model, towards it, or absent."""

    direction: Literal["repel", "attract", "discount", "none"] = "none"
    """discount: no term in the loss; what the anchor would have said too earns less."""
    anchor: AnchorName = "bias"
    """The name of an earlier stage; base: this stage's initial model; policy: what is trained, as
    it was some steps ago; otherwise a path, or a Hub's name."""
    anchor_view: AnchorView = "video"
    """Less than the video makes an anchor of any model, without a bias stage."""
    anchor_every: Positive = 1
    """With anchor policy, steps that it stays what it is: step s has the policy as it was after
    step floor((s - 1) / anchor_every) * anchor_every."""
    coefficient: float = Field(default=0.01, ge=0)
    """With discount, the share of a right answer's reward that goes at a likelihood of 1."""
    target: float | None = Field(default=None, gt=0)
    """Nats a token: every step moves the coefficient so that the divergence is held here; None
    leaves it as it is."""
    schedule: Literal["constant", "ramp", "early"] = "constant"
    """ramp: up to the coefficient in even steps, the whole of it from step `schedule_steps` on.
    early: the whole of it in the first `schedule_steps` steps, 0 after them."""
    schedule_steps: Positive | None = None
    estimator: Literal["k1", "k2", "k3", "policy", "exact"] = "k3"
    bound: float = Field(default=11.0, gt=0)
    applies_to: Literal["all", "answer", "thinking"] = "all"
    """The tokens that feel the divergence; the answer begins with its tag."""
    skip_equal_groups: bool = False
    """Groups of equal rewards, which teach nothing else, do not feel it either."""
    likelihood: Literal["relative", "absolute"] = "relative"
    """With discount, how likely the anchor finds a completion: relative to how likely this stage's
    initial model finds it, or as it is."""

    def scheduled(self, step: int) -> float:
        """The coefficient of a step, counted from 1, as the schedule alone would have it."""
        if self.schedule_steps is None:
            return self.coefficient
        if self.schedule == "early":
            return self.coefficient if step <= self.schedule_steps else 0.0
        return self.coefficient * min(1.0, step / self.schedule_steps)

    @property
    def moves(self) -> bool:
        """Whether the anchor is the policy of some steps ago, and so another from time to time."""
        return self.direction != "none" and self.anchor == "policy"

    def anchored_after(self, step: int) -> int:
        """The step after which the policy was what is the anchor once a step is done."""
        return step // self.anchor_every * self.anchor_every

    @property
    def compares(self) -> bool:
        """Whether the stage's initial model is asked as well as the anchor."""
        return self.direction == "discount" and self.likelihood == "relative"
