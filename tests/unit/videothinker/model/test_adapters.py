"""Adapters beside small models of every family: where they are, who speaks, what is written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import write_llava_onevision, write_qwen2_vl, write_qwen3_vl
from torch import Tensor

from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LINEARS, LoraConfig
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.files import read_json, write_json
from videothinker.model.adapters import (
    POLICY,
    insert,
    lora_of,
    merge,
    modules,
    parameters,
    pattern,
    save_adapter,
    speaking,
    take_in,
)
from videothinker.model.card import ModelLineage, Source
from videothinker.model.checkpoint import Budget, base_of, model_digest, read_budget, require_model
from videothinker.model.families.known import kind_of, shape_of
from videothinker.model.policy import load_model

LORA = LoraConfig(rank=4, alpha=6)
BUDGET = Budget(dtype="float32", video=VideoConfig(), max_tokens=24, max_model_len=512)
FAMILIES: dict[str, Callable[[Path], Path] | None] = {
    "qwen2_5_vl": None,
    "qwen3_vl": write_qwen3_vl,
    "qwen2_vl": write_qwen2_vl,
    "llava_onevision": write_llava_onevision,
}
WORDS = torch.arange(5, 17)[None]


@pytest.fixture(scope="module", params=FAMILIES)
def base(
    request: pytest.FixtureRequest, mini_base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    write = FAMILIES[request.param]
    return mini_base if write is None else write(tmp_path_factory.mktemp("base") / "model")


def scores(model: Any) -> Tensor:
    """Of words alone."""
    with torch.no_grad():
        found: Tensor = model(input_ids=WORDS).logits
    return found


def lineage(base: Path) -> ModelLineage:
    digest = model_digest(base)
    return ModelLineage(
        run="r",
        stage="s",
        steps=1,
        seed=1,
        base=Source(path=str(base), digest=digest),
        data=[],
        kl={"direction": "none"},
        anchor=None,
        rewards=["soft_accuracy"],
        group_size=8,
        prompts_per_step=2,
        learning_rate=1e-5,
        temperature=0.7,
        video=VideoConfig().model_dump(),
        lora=LORA.model_dump(mode="json"),
    )


def trained(base: Path, folder: Path, seed: int = 1, lora: LoraConfig = LORA) -> tuple[Any, Path]:
    """A model with an adapter that says something, and the adapter alone."""
    model = load_model(base, "float32")
    insert(model, POLICY, lora, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in parameters(model, POLICY).items():
            if ".lora_B." in name:
                one.copy_(torch.randn(one.shape, generator=generator) / 10)
    save_adapter(model, POLICY, folder, base, BUDGET, lineage(base))
    return model.eval(), folder


@pytest.mark.parametrize("vision", [False, True])
@pytest.mark.parametrize("targets", [LINEARS, ("q_proj", "down_proj")])
def test_a_plan_counts_what_is_trained(base: Path, targets: Sequence[str], *, vision: bool) -> None:
    lora = LoraConfig(rank=4, targets=tuple(targets), vision=vision)
    model = load_model(base, "float32")
    insert(model, POLICY, lora, seed=1)
    own = parameters(model, POLICY)
    assert sum(one.numel() for one in own.values()) == shape_of(base).trained(
        LearnerConfig(lora=lora)
    )
    trains = {name for name, one in model.named_parameters() if one.requires_grad}
    assert trains == {name.replace(".weight", f".{POLICY}.weight") for name in own}
    parts = {kind_of(base).part_of(f"{name}.weight") for name in modules(model, lora)}
    assert parts == ({"layers", "vision", "merger"} if vision else {"layers"})


def test_the_names_of_a_layers_matrices_are_every_familys(base: Path) -> None:
    assert tuple(shape_of(base).linears) == LINEARS


@pytest.mark.parametrize("vision", [False, True])
def test_one_expression_means_these_matrices_and_no_others(base: Path, *, vision: bool) -> None:
    model = load_model(base, "float32")
    wanted = modules(model, LoraConfig(targets=("k_proj",), vision=vision))
    found = re.compile(pattern(wanted))
    assert [name for name, _ in model.named_modules() if found.fullmatch(name)] == wanted


def test_a_fresh_one_changes_nothing_and_is_that_of_its_seed(mini_base: Path) -> None:
    model = load_model(mini_base, "float32").eval()
    before = scores(model)
    made = []
    for seed in (1, 1, 2):
        insert(model, str(len(made)), LORA, seed)
        made.append(parameters(model, str(len(made))))
    assert torch.equal(scores(model), before)
    [name, *_] = [name for name in made[0] if ".lora_A." in name]
    assert torch.equal(made[0][name], made[1][name])
    assert not torch.equal(made[0][name], made[2][name])


def test_each_speaks_in_turn_and_then_all_is_as_before(mini_base: Path, tmp_path: Path) -> None:
    plain = scores(load_model(mini_base, "float32"))
    one, first = trained(mini_base, tmp_path / "first")
    other, second = trained(mini_base, tmp_path / "second", seed=2)
    model = load_model(mini_base, "float32")
    take_in(model, "anchor", first)
    insert(model, POLICY, LORA, seed=3)
    for name, parameter in parameters(model, POLICY).items():
        if ".lora_B." in name:
            parameter.data.fill_(0.1)
    policy = scores(model.eval())
    model.train()
    trains = {name for name, one in model.named_parameters() if one.requires_grad}
    said = {}
    for voice in ("anchor", None):
        with speaking(model, voice):
            assert not model.training
            said[voice] = scores(model)
    torch.testing.assert_close(said["anchor"], scores(one))
    assert torch.equal(said[None], plain)
    assert model.training
    assert {name for name, one in model.named_parameters() if one.requires_grad} == trains
    assert {name.split(".")[-2] for name in trains} == {POLICY}
    assert torch.equal(scores(model.eval()), policy), "the policy speaks again"
    assert not torch.allclose(policy, plain)
    assert not torch.allclose(scores(one), scores(other))
    assert base_of(second) == mini_base


def test_nothing_is_dropped_of_who_is_only_asked(mini_base: Path) -> None:
    model = load_model(mini_base, "float32")
    insert(model, POLICY, LoraConfig(rank=4, dropout=0.9), seed=1)
    for name, one in parameters(model, POLICY).items():
        if ".lora_B." in name:
            one.data.fill_(1.0)
    model.train()
    with speaking(model, POLICY):
        assert torch.equal(scores(model), scores(model))
    assert not torch.equal(scores(model), scores(model))


def test_what_is_written_is_an_adapter_of_pefts(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    model, folder = trained(base, tmp_path / "adapter", lora=LoraConfig(rank=4, vision=True))
    theirs = PeftModel.from_pretrained(load_model(base, "float32"), str(folder))
    torch.testing.assert_close(scores(theirs.eval()), scores(model))
    torch.testing.assert_close(scores(load_model(folder, "float32").eval()), scores(model))
    assert not torch.allclose(scores(model), scores(load_model(base, "float32").eval()))


def test_it_is_merged_into_a_whole_model_with_its_lineage(base: Path, tmp_path: Path) -> None:
    model, adapter = trained(base, tmp_path / "adapter")
    whole = tmp_path / "whole"
    merge(load_model(base, "float32"), adapter, whole)
    merged = load_model(whole, "float32").eval()
    torch.testing.assert_close(scores(merged), scores(model), atol=1e-4, rtol=1e-4)
    assert shape_of(whole) == shape_of(base)
    content = read_json(whole / "lineage.json")
    assert content["merged"]["digest"] == model_digest(adapter)
    assert content["base"]["digest"] == model_digest(base)
    assert read_json(whole / "generation_config.json")["temperature"] == 0.7
    assert "PeftModel" not in (whole / "README.md").read_text()
    assert read_budget(whole) == read_budget(adapter) == BUDGET


def test_how_it_is_built_is_read_from_its_folder(mini_base: Path, tmp_path: Path) -> None:
    lora = LoraConfig(rank=3, alpha=7, targets=("up_proj", "v_proj"), vision=True)
    _, folder = trained(mini_base, tmp_path / "adapter", lora=lora)
    assert lora_of(folder) == lora


@pytest.mark.parametrize("key", ["use_dora", "rank_pattern", "modules_to_save"])
def test_another_kind_of_adapter_is_refused(mini_base: Path, tmp_path: Path, key: str) -> None:
    _, folder = trained(mini_base, tmp_path / "adapter")
    file = folder / "adapter_config.json"
    write_json(file, json.loads(file.read_text()) | {key: {"q_proj": 8}})
    with pytest.raises(InputError, match=f"{key} is not known here. Merge it with PEFT"):
        lora_of(folder)


def test_a_file_that_is_no_adapters_is_refused(mini_base: Path, tmp_path: Path) -> None:
    _, folder = trained(mini_base, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(InputError, match=r"not an adapter of PEFT's LoRA \(KeyError: 'r'\)"):
        lora_of(folder)


def test_a_base_that_is_gone_is_asked_for(mini_base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(mini_base, tmp_path / "base")
    _, folder = trained(base, tmp_path / "adapter")
    assert base_of(folder) == base
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(InputError, match=f"an adapter of {base}, which is not here. Bring that"):
        base_of(folder)
    file = folder / "adapter_config.json"
    write_json(file, json.loads(file.read_text()) | {"base_model_name_or_path": str(moved)})
    assert base_of(folder) == moved
    require_model(folder)


def test_another_base_in_its_place_is_told_by_its_digest(mini_base: Path, tmp_path: Path) -> None:
    from videothinker.mini.base.build import random_base

    base = shutil.copytree(mini_base, tmp_path / "base")
    _, folder = trained(base, tmp_path / "adapter")
    shutil.rmtree(base)
    random_base(base, seed=9)
    with pytest.raises(InputError, match=r"and .*base is another model. Name the adapter's own"):
        require_model(folder)


def test_an_adapter_of_another_size_does_not_fit(tmp_path: Path, mini_base: Path) -> None:
    _, folder = trained(write_qwen3_vl(tmp_path / "other"), tmp_path / "adapter")
    with pytest.raises(InputError, match=r"does not fit .*first model\.language_model\.layers"):
        take_in(load_model(mini_base, "float32"), "anchor", folder)
