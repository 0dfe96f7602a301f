"""Which of a stage's questions are drawn how often."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from videothinker.config.section import Positive, Section

OWN = {
    "errors": ("share", "of"),
    "column": ("column",),
    "difficulty": ("least", "most", "rest"),
}
"""What each way to draw is told."""


class DrawConfig(Section):
    """Which of a stage's questions are drawn how often."""

    by: Literal["uniform", "errors", "column", "difficulty"] = "uniform"
    """uniform: each once in every round through all of them. errors: so large a share of each step
    from those that another model gets wrong, the others from the rest; each in rounds of their
    own. column: in rounds of as many places as there are questions, each as often as a column of
    their file says. difficulty: in rounds from which those are left out that the policy itself
    got right too seldom or too often of late."""
    share: float = Field(default=0.5, gt=0, lt=1)
    of: str = "bias"
    """The earlier stage whose model is asked, once at its end; base: this stage's initial model,
    before its first step. With as many samples as a group has: wrong is a question that less than
    half of them answer right."""

    column: str = "weight"
    """Of numbers from 0 on: twice the number is twice as often, 0 is never."""
    least: float = Field(default=0.1, ge=0, le=1)
    most: float = Field(default=0.9, ge=0, le=1)
    """Between which the share of right completions in a question's last group must lie."""
    rest: Positive = 2
    """Rounds that a question is left out of, at most, before it is asked again."""

    @property
    def said(self) -> dict[str, Any]:
        """What has an effect."""
        return {key: getattr(self, key) for key in ("by", *OWN.get(self.by, ()))}
