"""What a model was trained to see, kept beside its weights.

A model that is asked with another frame budget answers worse for no visible reason. Every export
carries its budget, so that evaluating or asking it needs no configuration.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from videothinker.config.settings import DType, Positive, RunConfig, Section, VideoConfig
from videothinker.errors import InputError
from videothinker.run.directory import atomic_write

FILE = "videothinker.json"


class Budget(Section):
    """The part of a configuration that using the model depends on."""

    dtype: DType
    video: VideoConfig
    max_tokens: Positive
    max_model_len: Positive

    @property
    def longest_prompt(self) -> int:
        """Tokens that a prompt may have so that its longest completion still fits."""
        return self.max_model_len - self.max_tokens


PAPER_EVALUATION = Budget(
    dtype="bfloat16",
    video=VideoConfig.model_validate("paper-evaluation"),
    max_tokens=1024,
    max_model_len=32768,
)
"""For models that carry none: the paper's 32 frames of 256 tokens."""


def budget_of(config: RunConfig) -> Budget:
    """The budget a run trains under."""
    return Budget(
        dtype=config.model.dtype,
        video=config.video,
        max_tokens=config.sampling.max_tokens,
        max_model_len=config.rollout.max_model_len,
    )


def write_budget(model: Path, budget: Budget) -> None:
    """Keep a budget beside a model's weights."""
    atomic_write(model / FILE, budget.model_dump_json(indent=2) + "\n")


def read_budget(model: Path) -> Budget:
    """A model's own budget, or the paper's."""
    file = model / FILE
    if not file.is_file():
        return PAPER_EVALUATION
    try:
        return Budget.model_validate_json(file.read_text())
    except ValidationError as error:
        raise InputError(
            f"{file}: not a budget ({error.error_count()} problems, first: "
            f"{error.errors()[0]['msg']}); delete the file to use the paper's"
        ) from error
