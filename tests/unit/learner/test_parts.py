from __future__ import annotations

from pathlib import Path
from typing import get_args

from learner.deepspeed_engine import freeze
from videothinker.config.learner import Part
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.model.families.qwen3_vl import Qwen3VL
from videothinker.model.policy import load_model


def test_every_part_has_weights_of_its_own(mini_base: Path) -> None:
    names = [name for name, _ in load_model(mini_base, "float32").named_parameters()]
    assert {Qwen25VL.part_of(name) for name in names} == set(get_args(Part))


def test_the_merger_is_not_the_vision_tower_and_the_head_is_an_embedding() -> None:
    assert Qwen25VL.part_of("model.visual.blocks.0.attn.qkv.weight") == "vision"
    assert Qwen25VL.part_of("model.visual.patch_embed.proj.weight") == "vision"
    assert Qwen25VL.part_of("model.visual.merger.mlp.0.weight") == "merger"
    assert Qwen25VL.part_of("model.language_model.embed_tokens.weight") == "embeddings"
    assert Qwen25VL.part_of("lm_head.weight") == "embeddings"
    assert Qwen25VL.part_of("model.language_model.layers.0.mlp.up_proj.weight") == "layers"
    assert Qwen25VL.part_of("model.language_model.norm.weight") == "layers"


def test_the_mergers_of_deeper_layers_are_mergers_too() -> None:
    assert Qwen3VL.part_of("model.visual.deepstack_merger_list.0.norm.weight") == "merger"
    assert Qwen3VL.part_of("model.visual.pos_embed.weight") == "vision"


def test_a_frozen_part_is_exactly_what_does_not_train(mini_base: Path) -> None:
    model = load_model(mini_base, "float32")
    freeze(model, ["vision", "layers"])
    trained = {Qwen25VL.part_of(name) for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"merger", "embeddings"}
