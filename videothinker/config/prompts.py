"""How a run asks its questions."""

from __future__ import annotations

from typing import Literal

from videothinker.config.section import Section
from videothinker.types import Wording

Wordings = Literal["training", "direct", "both"]
"""What a run asks in: one wording, or two."""


class PromptsConfig(Section):
    """The words around a question."""

    wording: Wordings = "training"
    """training: to think first, then to answer. direct: for the answer alone. both: each question
    in one of the two, and in the other one the next time it is drawn."""

    @property
    def each(self) -> tuple[Wording, ...]:
        """The wordings; results go by the first, those of a second stand beside them."""
        return ("training", "direct") if self.wording == "both" else (self.wording,)
