"""What an engine expects of an adapter, from the tensors that it was started from."""

from __future__ import annotations

import pytest

from actors.vllm_adapter import adapter_options, adapter_shapes
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import Device, RolloutConfig

BASE = {
    "language_model.model.embed_tokens.weight": (448, 96),
    "language_model.model.layers.0.self_attn.q_proj.weight": (128, 96),
    "language_model.model.layers.0.self_attn.q_proj.bias": (128,),
    "language_model.model.layers.0.mlp.down_proj.weight": (96, 256),
    "language_model.model.layers.0.input_layernorm.weight": (96,),
    "language_model.lm_head.weight": (448, 96),
    "visual.patch_embed.proj.weight": (64, 3, 2, 14, 14),
    "visual.pos_embed.weight": (64, 64),
    "visual.blocks.0.attn.qkv.weight": (192, 64),
    "visual.blocks.0.norm1.weight": (64,),
}


def test_two_narrow_ones_for_each_matrix_that_is_named() -> None:
    found = adapter_shapes(BASE, LoraConfig(rank=4, targets=("q_proj",)))
    stem = "language_model.model.layers.0.self_attn.q_proj"
    assert found == {(f"{stem}.lora_A.weight", (4, 96)): 1, (f"{stem}.lora_B.weight", (128, 4)): 1}


def test_of_the_vision_tower_all_that_multiply() -> None:
    found = adapter_shapes(BASE, LoraConfig(rank=4, targets=("q_proj",), vision=True))
    seeing = {shape for (name, shape), _ in found.items() if name.startswith("visual")}
    assert seeing == {(4, 64), (192, 4)}


@pytest.mark.parametrize(("rank", "room"), [(1, 8), (8, 8), (9, 16), (200, 256), (512, 512)])
def test_room_is_made_for_the_next_rank(rank: int, room: int) -> None:
    options = adapter_options(RolloutConfig(), LoraConfig(rank=rank), "cuda")
    assert options["max_lora_rank"] == room


@pytest.mark.parametrize(
    ("rollout", "lora", "device"),
    [
        (RolloutConfig(sleep=True), LoraConfig(), "cuda"),
        (RolloutConfig(adapters="merged"), LoraConfig(), "cuda"),
        (RolloutConfig(), LoraConfig(vision=True), "cuda"),
        (RolloutConfig(), LoraConfig(rank=600), "cuda"),
        (RolloutConfig(), LoraConfig(), "cpu"),
    ],
)
def test_added_to_the_weights_it_takes_none(
    rollout: RolloutConfig, lora: LoraConfig, device: Device
) -> None:
    assert adapter_options(rollout, lora, device) == {}
