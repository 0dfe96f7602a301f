"""The families that can be trained, and which of them a model is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.model.checkpoint import SAFE, base_of
from videothinker.model.families.family import Family
from videothinker.model.families.llava_onevision import LlavaOnevision
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.model.families.qwen2_vl import Qwen2VL
from videothinker.model.families.qwen3_vl import Qwen3VL
from videothinker.model.shape import ModelShape
from videothinker.video.frames import FrameBudget

FAMILIES: tuple[type[Family], ...] = (Qwen25VL, Qwen3VL, Qwen2VL, LlavaOnevision)
BY_TYPE = {family.model_type: family for family in FAMILIES}
TITLES = " or ".join(family.title for family in FAMILIES)
ON_THE_HUB = {name: f"{family.owner}/{name}" for family in FAMILIES for name in family.released}
"""Released models by the name of their folder."""
PAPERS = next(iter(ON_THE_HUB))
"""The model of the paper."""
KNOWN = {name: shape for family in FAMILIES for name, shape in family.released.items()}


def family_in(config: Any) -> Family:
    """The family of a model by its configuration, as transformers reads it."""
    return BY_TYPE[config.model_type](config)


def family_of(model: Path) -> Family:
    """The family of the model in a folder; InputError where it is none that is known."""
    from transformers import AutoConfig

    kind_of(model)
    return family_in(AutoConfig.from_pretrained(base_of(model), **SAFE))


def kind_of(model: Path) -> type[Family]:
    """The same, read without transformers and without its configuration."""
    file = base_of(model) / "config.json"
    return _kind(file, _document(file))


def shape_of(model: Path) -> ModelShape:
    """The shape of the checkpoint in a folder, or of the released model that the folder is named
    after."""
    file = base_of(model) / "config.json"
    if not file.is_file():
        name = model.name if model.is_absolute() else Path(str(model).partition("@")[0]).name
        if name in KNOWN:
            return KNOWN[name]
        raise InputError(
            f"{file}: no such file, so the model's size is unknown; name a checkpoint's folder"
            f" (model.path=DIR), or one called {', '.join(KNOWN)}"
        )
    document = _document(file)
    family = _kind(file, document)
    try:
        return family.shape(document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: not the configuration of a {family.title} ({type(error).__name__}: {error});"
            " name the folder of a Hugging Face checkpoint: model.path=DIR"
        ) from error


def frames_for(model: Path, video: VideoConfig) -> FrameBudget:
    """A configuration's budget in the squares that a model is shown."""
    return FrameBudget(**video.model_dump(), side=shape_of(model).side)


def _document(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: not the configuration of a model ({type(error).__name__}: {error}); "
            "name the folder of a Hugging Face checkpoint: model.path=DIR"
        ) from error


def _kind(file: Path, document: Any) -> type[Family]:
    found = document.get("model_type") if isinstance(document, dict) else None
    if found not in BY_TYPE:
        raise InputError(
            f"{file}: model_type is {found!r}, and the families known are {', '.join(BY_TYPE)}."
            f" Name a {TITLES}, or write its family's file (docs/extending.md)"
        )
    return BY_TYPE[found]
