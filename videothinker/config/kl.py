"""What the policy owes to an anchor: a divergence in the loss, or what the anchor makes of the
advantages."""

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
Direction = Literal[
    "repel", "attract", "discount", "tie_break", "reweigh", "unlikely", "product", "none"
]
DEDUCTING: tuple[Direction, ...] = ("tie_break", "unlikely")
"""Directions that take something off the reward of right answers."""


class KLConfig(Section):
    """The anchor, and what it does to the policy."""

    direction: Direction = "none"
    """repel, attract: a divergence in the loss. The others have none and are in
    docs/objective.md#what-the-bias-model-knows-already: discount, tie_break, reweigh and unlikely
    change advantages, product what they push."""
    anchor: AnchorName = "bias"
    """The name of an earlier stage; base: this stage's initial model; policy: what is trained, as
    it was some steps ago; otherwise a path, or a Hub's name."""
    anchor_view: AnchorView = "video"
    """Less than the video makes an anchor of any model, without a bias stage."""
    anchor_every: Positive = 1
    """With anchor policy, steps that it stays what it is: step s has the policy as it was after
    step floor((s - 1) / anchor_every) * anchor_every."""
    coefficient: float = Field(default=0.01, ge=0)
    """Of the divergence. With discount, in advantages; with tie_break and unlikely, the share of a
    right answer's reward that goes at most; with reweigh, the share of a group's advantages that
    goes at most; with product, the power of the anchor's probabilities."""
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
    """With tie_break, how likely the anchor finds a completion: relative to how likely this stage's
    initial model finds it, or as it is."""

    def scheduled(self, step: int) -> float:
        """The coefficient of a step, counted from 1, as the schedule alone would have it."""
        if self.schedule_steps is None:
            return self.coefficient
        if self.schedule == "early":
            return self.coefficient if step <= self.schedule_steps else 0.0
        return self.coefficient * min(1.0, step / self.schedule_steps)

    @property
    def asks(self) -> bool:
        """Whether an anchor is asked about the policy's completions."""
        return self.direction not in ("none", "unlikely")

    @property
    def moves(self) -> bool:
        """Whether the anchor is the policy of some steps ago, and so another from time to time."""
        return self.asks and self.anchor == "policy"

    def anchored_after(self, step: int) -> int:
        """The step after which the policy was what is the anchor once a step is done."""
        return step // self.anchor_every * self.anchor_every

    @property
    def debiases(self) -> bool:
        """Whether advantages are not from what was earned alone."""
        return self.direction in (*DEDUCTING, "discount", "reweigh")

    @property
    def compares(self) -> bool:
        """Whether the stage's initial model is asked as well as the anchor."""
        relative = self.direction == "tie_break" and self.likelihood == "relative"
        return relative or self.direction == "discount"

    @property
    def every_token(self) -> bool:
        """Whether the anchor's scores of the whole vocabulary are needed, not of what was sampled
        alone."""
        return self.direction == "product" or (self.asks and self.estimator == "exact")
