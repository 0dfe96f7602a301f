"""What every part of a configuration is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Place = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A file or folder; relative ones count from where the command is given, once and for all."""
Positive = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
