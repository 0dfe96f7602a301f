"""Whether models can do what a run asks of them, by the files beside their weights: nothing is
loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from videothinker.config.lora import LoraConfig
from videothinker.config.prompts import Wordings
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.files import read_json
from videothinker.model.checkpoint import base_of, is_adapter, require_base
from videothinker.model.families.known import kind_of, shape_of
from videothinker.model.shape import ModelShape

PROCESSORS = ("processor_config.json", "preprocessor_config.json")
TOKENIZERS = ("tokenizer.json", "vocab.json")
TEMPLATES = ("processor_config.json", "tokenizer_config.json", "chat_template.json")
"""Where a template stands that has no file of its own."""
OPENED = re.compile(r"add_generation_prompt.*<think>", re.DOTALL)
"""A template that writes the beginning of the thinking itself."""


def unfit_base(model: Path, rewards: Sequence[str], wording: Wordings = "training") -> str | None:
    """Why a run cannot start from a model; `rewards` are the names of those paid, `wording` how it
    asks."""
    if is_adapter(model):
        return (
            f"{model}: an adapter, and training starts from a whole model. Merge it with its base:"
            f" videothinker merge {model} --out DIR"
        )
    try:
        kind_of(model)
    except InputError as error:
        return str(error)
    for names, what in ((PROCESSORS, "processor"), (TOKENIZERS, "tokenizer")):
        if not any((model / name).is_file() for name in names):
            return (
                f"{model}: has no {what} ({' or '.join(names)}). Copy it from the model that this"
                " one was made from"
            )
    opened = OPENED.search(_template(model)) is not None
    if opened and wording != "training":
        return (
            f"{model}: its chat template writes <think> itself, so it cannot be asked for an answer"
            f" alone (prompts.wording = {wording!r}). Name the Instruct model, or use training"
        )
    paid = [name for name in rewards if name in ("format", "strict_format")]
    if opened and paid:
        return (
            f"{model}: its chat template writes <think> itself, so no completion can earn the"
            f" reward {paid[0]}, which looks for it. Name the Instruct model, or leave {paid[0]}"
            " out of rewards"
        )
    return None


def unfit_anchor(base: Path, anchor: Path, *, alone: bool = True) -> str | None:
    """Why a model has no opinion of another one's tokens, in a process of its own or, not alone, as
    an adapter of the policy's."""
    try:
        if not alone and is_adapter(anchor):
            require_base(anchor, base)
        elif not alone and anchor.resolve() != base.resolve():
            return (
                f"{anchor}: a whole model, and with cluster.scorers = 0 the learner scores, which"
                " has another. Use 1 or more scorers"
            )
        one, other = kind_of(base), kind_of(anchor)
    except InputError as error:
        return str(error)
    if one is not other:
        return (
            f"{anchor}: is a {other.title}, and the policy a {one.title}: they see other tokens."
            " Name an anchor of the policy's family"
        )
    ours, theirs = _words(base), _words(base_of(anchor))
    if ours and theirs and ours != theirs:
        return (
            f"{anchor}: its tokenizer is not the policy's ({base}): the same number means another"
            " word. Name an anchor that was made from the same model"
        )
    return None


def unfit_adapter(base: Path, lora: LoraConfig) -> str | None:
    """Why a model has no room for an adapter."""
    shape = shape_of(base)
    for name in lora.targets:
        least = min(shape.linears[name])
        if lora.rank > least:
            return (
                f"learner.lora.rank = {lora.rank}: {name} of {base} is {least} wide, and an adapter"
                f" of more says no more. Use {least} or less, or leave it out of"
                " learner.lora.targets"
            )
    return None


def _template(model: Path) -> str:
    file = model / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    for name in TEMPLATES:
        with suppress(ValueError):  # of a damaged file `require_safe` speaks
            if isinstance(text := read_json(model / name).get("chat_template"), str):
                return text
    return ""


def _words(model: Path) -> Any:
    """Words and special tokens with their numbers; nothing where no file has both."""
    file = model / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_bytes())
        special = {one["content"]: one["id"] for one in content["added_tokens"]}
        return {**content["model"]["vocab"], **special}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def one_time(config: RunConfig, shape: ModelShape) -> Iterator[str]:
    """Stages whose anchor is to see the times of videos that have only one."""
    frames = config.video.max_frames
    for number, stage in enumerate(config.stages):
        view = stage.kl.anchor_view
        timed = stage.kl.asks and view in ("frame", "shuffled")
        if timed and frames < 2 * shape.temporal_patch:
            yield (
                f"stages.{number}.kl.anchor_view = {view!r}: of video.max_frames = {frames} the"
                " model makes one time, so the anchor would see all of it. Set video.max_frames to"
                f" {2 * shape.temporal_patch} or more"
            )
