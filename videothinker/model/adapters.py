"""Adapters: what LoRA trains beside a model that keeps its numbers, in PEFT's format.

A model may have several, one of which speaks at a time, or none: policy, bias model and initial
model so are one model in memory. On disk an adapter is a folder that names its base
(`checkpoint.base_of`).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from videothinker.config.hub_names import hub_source
from videothinker.config.lora import LoraConfig
from videothinker.errors import InputError
from videothinker.files import read_json, whole_folder
from videothinker.model.card import LINEAGE, ModelLineage, Source, describe, license_in
from videothinker.model.checkpoint import (
    ADAPTER,
    Budget,
    base_of,
    model_digest,
    read_budget,
    require_safe,
    save_model,
    write_budget,
)
from videothinker.model.families.known import family_in, kind_of

if TYPE_CHECKING:  # a configuration's checks need no torch
    from torch import Tensor, nn

POLICY = "policy"
"""The adapter that is trained."""
ANCHOR = "anchor"
"""The one that the model which is trained is asked as."""
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Of every name in such a file."""
UNKNOWN = (
    "use_dora",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "lora_bias",
)
"""Of PEFT's settings those that make another sum of an adapter than ours is."""


def insert(model: Any, name: str, lora: LoraConfig, seed: int) -> None:
    """A fresh adapter, which changes nothing yet; the same for the same seed."""
    import torch
    from peft import LoraConfig as Settings
    from peft import inject_adapter_in_model

    settings = Settings(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type] # it need not be whole
        lora_dropout=lora.dropout,
        target_modules=pattern(modules(model, lora)),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, model, adapter_name=name)


def take_in(model: Any, name: str, adapter: Path) -> None:
    """An adapter from a folder, frozen, which speaks from now on."""
    from peft import set_peft_model_state_dict

    require_safe(adapter)
    insert(model, name, lora_of(adapter), seed=0)
    own, there = parameters(model, name), tensors_of(adapter)
    differing = {key: tuple(one.shape) for key, one in own.items()}.items() ^ {
        key: tuple(one.shape) for key, one in there.items()
    }.items()
    if differing:
        raise InputError(
            f"{adapter}: does not fit {base_of(adapter)}, first {min(differing)[0]}. Name the base"
            " that it was trained beside"
        )
    set_peft_model_state_dict(model, there, adapter_name=name)
    for parameter in own.values():
        parameter.requires_grad_(False)


def modules(model: Any, lora: LoraConfig) -> list[str]:
    """The matrices of a model that an adapter is beside, by name; others may be there already."""
    from torch import nn

    part_of = family_in(model.config).part_of
    linear = [
        name.removesuffix(".base_layer")
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name
    ]
    return [
        name
        for name in linear
        if (part := part_of(f"{name}.weight")) != "embeddings"
        and (name.rpartition(".")[2] in lora.targets if part == "layers" else lora.vision)
    ]


def pattern(names: list[str]) -> str:
    """One expression for them all: of each tower its name, and the last one or two words."""
    ends: dict[str, set[str]] = {}
    for words in (name.split(".") for name in names):
        ends.setdefault(r"\.".join(words[:2]), set()).add(r"\.".join(words[2:][-2:]))
    towers = [rf"{tower}\.(.*\.)?({'|'.join(sorted(some))})" for tower, some in ends.items()]
    return "|".join(towers)


@contextmanager
def speaking(model: Any, adapter: str | None) -> Iterator[None]:
    """As one of its adapters, or without any; afterwards as it was."""
    if not hasattr(model, "peft_config"):
        yield  # it has none, and is never in training
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    before = layers[0].active_adapters
    training = model.training
    model.eval()  # nothing is dropped
    try:
        for layer in layers:
            layer.enable_adapters(adapter is not None)
            if adapter is not None:
                layer.set_adapter(adapter, inference_mode=True)
        yield
    finally:
        model.train(training)
        for layer in layers:
            layer.enable_adapters(True)
            layer.set_adapter(before)


def parameters(model: Any, name: str) -> dict[str, nn.Parameter]:
    """An adapter's, by the names they have in its file."""
    own = re.compile(rf"(.*\.lora_[AB])\.{name}\.weight")
    return {
        f"{found[1]}.weight": parameter
        for key, parameter in model.named_parameters()
        if (found := own.fullmatch(key))
    }


def settings_of(model: Any, name: str) -> dict[str, Any]:
    """What an adapter's file says of it, as PEFT writes it."""
    settings = model.peft_config[name].to_dict()
    plain = {key: sorted(one) if isinstance(one, set) else one for key, one in settings.items()}
    return {**plain, "inference_mode": True, "peft_type": "LORA", "task_type": "CAUSAL_LM"}


def write_adapter(folder: Path, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """The two files of PEFT's format."""
    from safetensors.torch import save_file

    named = {PREFIX + name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / ADAPTER).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def save_adapter(
    model: Any, name: str, folder: Path, base: Path, budget: Budget, lineage: ModelLineage | None
) -> None:
    """Write an adapter alone, with the budget it was trained under and where it comes from."""
    source, _, commit = (hub_source(base) or str(base)).partition("@")
    named = {"base_model_name_or_path": source, "revision": commit or None}
    with whole_folder(folder, replace=True) as partial:
        write_adapter(partial, settings_of(model, name) | named, parameters(model, name))
        write_budget(partial, budget)
        if lineage is not None:
            describe(partial, lineage, license_in(base))


def merge(base: Any, adapter: Path, out: Path) -> None:
    """Write a whole model: an adapter's base, which was loaded, with the adapter added to it."""
    lora, tensors = lora_of(adapter), tensors_of(adapter)
    for name in tensors:
        stem, _, which = name.rpartition(".lora_")
        if which.startswith("A"):
            narrow, wide = tensors[name], tensors[f"{stem}.lora_B.weight"]
            large = base.get_submodule(stem).weight
            large.data = added(large.data, narrow, wide, lora.scale)
    lineage = read_json(adapter / LINEAGE)
    if lineage:
        lineage["merged"] = Source(path=str(adapter), digest=model_digest(adapter))
    known = cast("ModelLineage | None", lineage or None)
    temperature, budget = lineage.get("temperature", 1.0), read_budget(adapter)
    save_model(base, out, base_of(adapter), budget, temperature, known)


def added(large: Tensor, narrow: Tensor, wide: Tensor, scale: float) -> Tensor:
    """A matrix with an adapter's product added to it, rounded once."""
    return (wide.float() @ narrow.float()).mul_(scale).add_(large).to(large.dtype)


def tensors_of(adapter: Path) -> dict[str, Tensor]:
    """What an adapter's folder holds, by the names that `parameters` has."""
    from safetensors.torch import load_file

    return {
        name.removeprefix(PREFIX): tensor for name, tensor in load_file(adapter / WEIGHTS).items()
    }


def lora_of(adapter: Path) -> LoraConfig:
    """How an adapter in a folder is built; InputError where it is no plain LoRA."""
    file = adapter / ADAPTER
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        stems = {name.rpartition(".lora_")[0] for name in tensors_of(adapter)}
        part_of = kind_of(adapter).part_of
        spoken = {stem for stem in stems if part_of(f"{stem}.weight") == "layers"}
        lora = LoraConfig(
            rank=settings["r"],
            alpha=settings["lora_alpha"],
            targets=tuple(sorted({stem.rpartition(".")[2] for stem in spoken})),
            vision=bool(stems - spoken),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: not an adapter of PEFT's LoRA ({type(error).__name__}: {error})"
        ) from error
    if other := [key for key in UNKNOWN if settings.get(key)]:
        raise InputError(
            f"{file}: {other[0]} is not known here. Merge it with PEFT, and give the whole model"
        )
    return lora
