"""The constants of memory.py that a CPU can measure: what torch keeps for a backward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from paper_shape import WORDS_BEFORE, made_up_group

from videothinker.mini.base.build import make_config
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.model.policy import Policy
from videothinker.planning.passes import (
    SAVED_PER_HIDDEN,
    SAVED_PER_INNER,
    SAVED_PER_VISION_HIDDEN,
)

HIDDEN, INNER, VISION_HIDDEN, VISION_INNER = 256, 1376, 160, 428
"""The 3B model's at an eighth."""
GRID = (5, 12, 16)
PATCHES = 5 * 12 * 16
WORDS_AFTER, LENGTHS = 7, (100,) * 4


@contextmanager
def kept_bytes(model: torch.nn.Module) -> Iterator[dict[int, int]]:
    """Sizes of what is saved for the backward pass, weights aside, by address."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # or its address could be given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def measured(layers: int, blocks: int, checkpointed: bool) -> int:
    """Bytes that one packed row keeps, in bfloat16."""
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = make_config(make_tokenizer())
    text, vision = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = HIDDEN, INNER, layers
    text.num_attention_heads, text.num_key_value_heads = 2, 1
    text.layer_types = ["full_attention"] * layers
    text.rope_parameters["mrope_section"] = [16, 24, 24]
    vision.hidden_size, vision.intermediate_size, vision.depth = VISION_HIDDEN, VISION_INNER, blocks
    vision.num_heads, vision.out_hidden_size = 2, HIDDEN
    vision.fullatt_block_indexes = list(range(blocks))
    model = Qwen2_5_VLForConditionalGeneration(config).to(torch.bfloat16).train()
    if checkpointed:
        model.gradient_checkpointing_enable()
    policy = Policy(model)
    with kept_bytes(model) as kept:
        policy([made_up_group(model, GRID, WORDS_AFTER, LENGTHS)], 1.0)
    return sum(kept.values())


def row_tokens() -> int:
    return WORDS_BEFORE + PATCHES // 4 + WORDS_AFTER + sum(LENGTHS)


def test_a_layer_keeps_16_numbers_a_hidden_and_4_an_inner_feature() -> None:
    layer = (measured(3, 1, False) - measured(2, 1, False)) / row_tokens()
    assert layer == pytest.approx(
        2 * (SAVED_PER_HIDDEN["cpu"] * HIDDEN + SAVED_PER_INNER * INNER), rel=0.02
    )


def test_a_block_of_the_vision_tower_keeps_nearly_as_many() -> None:
    block = (measured(1, 3, False) - measured(1, 2, False)) / PATCHES
    hidden = SAVED_PER_VISION_HIDDEN["cpu"] * VISION_HIDDEN
    expected = 2 * (hidden + SAVED_PER_INNER * VISION_INNER)
    assert block == pytest.approx(expected, rel=0.02)


def test_checkpointed_both_keep_their_input_alone() -> None:
    least = measured(2, 2, True)
    assert (measured(3, 2, True) - least) / row_tokens() == 2 * HIDDEN
    assert (measured(2, 3, True) - least) / PATCHES == 2 * VISION_HIDDEN
