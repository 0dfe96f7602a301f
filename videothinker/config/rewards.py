"""What a completion may earn: the rewards that exist by name, and functions of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from videothinker.config.section import Section

RewardName = Literal["accuracy", "soft_accuracy", "format", "strict_accuracy", "strict_format"]
RIGHTNESS: tuple[RewardName, ...] = ("accuracy", "soft_accuracy", "strict_accuracy")
"""Those that are for the answer; the others are for its form."""


def _call(place: str) -> str:
    file, _, function = place.rpartition(":")
    if not file.endswith(".py") or not function.isidentifier():
        raise PydanticCustomError(
            "call", "not a file and a function in it; written rewards.py:FUNCTION"
        )
    return f"{Path(file).expanduser().absolute()}:{function}"


Call = Annotated[str, AfterValidator(_call)]
"""FILE.py:FUNCTION."""


class RewardConfig(Section):
    """A reward: one of ours by its name, or a function in a file of the user's.

    The name alone may stand for it: `rewards: [accuracy, format]`.
    """

    name: RewardName | None = None
    call: Call | None = None
    """A function of a completion and its question, or of a group's completions and the question."""
    weight: float = 1.0
    """What it pays is multiplied by this before rewards are added."""
    seconds: float = Field(default=60.0, gt=0)
    """That a function may take for a group; one that takes longer costs the group."""
    memory_gb: float = Field(default=4.0, gt=0)
    """That a function may take, beside what its file has taken when it is loaded."""

    @property
    def title(self) -> str:
        """The name under which it is recorded."""
        return self.name or self.place[1]

    @property
    def place(self) -> tuple[Path, str]:
        """File and function of a call."""
        file, _, function = (self.call or "").rpartition(":")
        return Path(file), function

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_serializer(mode="plain")
    def _as_written(self) -> str | dict[str, Any]:
        """As short as it may be written."""
        if self.call is not None:
            return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}
        assert self.name is not None
        return self.name if self.weight == 1 else {"name": self.name, "weight": self.weight}


def paid_for_answers(rewards: Sequence[RewardConfig]) -> RewardConfig:
    """Of a run's rewards the one that says whether an answer is right, the first of RIGHTNESS."""
    known = {one.name: one for one in rewards if one.name is not None}
    return next(known[name] for name in RIGHTNESS if name in known)


PAPERS_REWARDS = (RewardConfig(name="soft_accuracy"), RewardConfig(name="format"))
