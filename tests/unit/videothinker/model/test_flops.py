"""Operations by formula, against sums made by hand; test_counts.py compares them with torch."""

from dataclasses import replace

import pytest
from builders import completion, group

from videothinker.config.learner import LearnerConfig, Part
from videothinker.config.lora import LoraConfig
from videothinker.model.families.known import KNOWN
from videothinker.model.flops import forward_flops, scoring_flops, training_flops

SHAPE = KNOWN["Qwen2.5-VL-3B-Instruct"]
GROUP = group(completion("", 100), completion("", 200), prompt_tokens=1050, patches=3740)
VISION = 2 * 3740 * 631_975_680
MERGER = 2 * 935 * 36_708_608
ATTENTION = 4 * 36 * 2048 * (1050**2 / 2 + 100 * 1100 + 200 * 1150)
LAYERS = 2 * 1350 * 2_774_773_760 + ATTENTION
HEAD = 2 * 300 * 151_936 * 2048
"""A completion's tokens see the prompt and, on average, half of their own."""


def test_a_part_takes_two_operations_for_each_of_its_parameters_and_tokens() -> None:
    assert forward_flops(SHAPE, 3740, 1050, [100, 200]) == {
        "vision": VISION,
        "merger": MERGER,
        "layers": LAYERS,
        "embeddings": HEAD,
    }


def test_a_group_is_counted_by_its_own_lengths() -> None:
    assert scoring_flops(SHAPE, GROUP) == VISION + MERGER + LAYERS + HEAD
    without = replace(GROUP, patches=0)
    assert scoring_flops(SHAPE, without) == LAYERS + HEAD


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        ((), 3 * (VISION + MERGER + LAYERS + HEAD)),
        (("vision",), VISION + 3 * (MERGER + LAYERS + HEAD)),
        (("vision", "merger"), VISION + MERGER + 3 * (LAYERS + HEAD)),
        (("layers", "embeddings"), 3 * (VISION + MERGER) + 2 * (LAYERS + HEAD)),
    ],
)
def test_training_takes_two_more_where_something_is_trained_and_one_where_gradients_pass(
    freeze: tuple[Part, ...], expected: float
) -> None:
    assert training_flops(SHAPE, GROUP, LearnerConfig(freeze=freeze)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("vision", "expected"),
    [
        (False, VISION + MERGER + 2 * (LAYERS + HEAD)),
        (True, 2 * (VISION + MERGER + LAYERS + HEAD)),
    ],
)
def test_gradients_only_pass_through_what_has_adapters(vision: bool, expected: float) -> None:
    learner = LearnerConfig(lora=LoraConfig(vision=vision))
    assert training_flops(SHAPE, GROUP, learner) == pytest.approx(expected)
