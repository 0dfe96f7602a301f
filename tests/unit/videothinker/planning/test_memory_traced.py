"""The plan's learner and scorer beside a trace of their work at real models' shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import shipped_config
from paper_shape import WORDS_BEFORE
from traced import traced

from videothinker.config.settings import RunConfig
from videothinker.model.families.known import KNOWN
from videothinker.model.families.llava_onevision import OnevisionShape
from videothinker.model.shape import ModelShape
from videothinker.planning.memory import anchor_parts, largest, scoring_phase, total
from videothinker.planning.passes import GB, Row, row_phases

ROWS = {
    "small groups": ("video.max_frames=4", "video.max_pixels=50176", "sampling.max_tokens=64"),
    "4k": ("sampling.max_tokens=344",),
    "7k": ("sampling.max_tokens=768",),
    "8k, a long video": (
        "video.max_frames=48",
        "video.total_pixels=2408448",
        "sampling.max_tokens=600",
    ),
}
LAUNCHES = 7_000
"""Of a GPU for one group of the paper's shape; about 24,000 with transformers' layers."""


def some_layers(shape: ModelShape) -> ModelShape:
    """Everything grows evenly with the layers; these take seconds."""
    return replace(shape, layers=6, vision_layers=6)


def traced_peak(config: RunConfig, shape: ModelShape, row: Row, *, learns: bool) -> float:
    """GB beside the weights, an adapter's among them."""
    load = largest(config, shape)
    groups = row.patches // load.patches
    side = shape.frame // shape.patch if isinstance(shape, OnevisionShape) else 16
    found = traced(
        shape,
        (load.patches // side**2, side, side),
        max(1, load.prompt - load.visual - WORDS_BEFORE),
        (row.scored // groups // load.group,) * load.group,
        checkpointing=config.learner.gradient_checkpointing,
        learns=learns,
        groups=groups,
        lora=config.learner.lora,
    )
    return found.peak / GB


MODELS = {
    name: shape
    for name, shape in KNOWN.items()
    if not name.endswith("-Thinking") and not isinstance(shape, OnevisionShape)
}
"""Thinking models have the same shapes."""
SMALL = ("Qwen2.5-VL-3B-Instruct", "Qwen3-VL-2B-Instruct", "Qwen3-VL-4B-Instruct")


@pytest.mark.parametrize(
    "shape",
    [
        *[pytest.param(some_layers(MODELS[name]), id=f"{name}, some layers") for name in SMALL],
        *[pytest.param(shape, id=name, marks=pytest.mark.slow) for name, shape in MODELS.items()],
    ],
)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_takes_what_the_plan_says_of_learner_and_scorer(shape: ModelShape, row: str) -> None:
    weights = shape.parameters * 2 / GB
    for checkpointing in ("true", "false"):
        config = shipped_config(f"learner.gradient_checkpointing={checkpointing}", *ROWS[row])
        for each in largest(config, shape).rows:
            planned = max(map(total, row_phases(config, shape, each, exact=False)))
            found = traced_peak(config, shape, each, learns=True)
            assert weights + planned == pytest.approx(weights + found, rel=0.06)
    scorer = anchor_parts(config, shape)
    found = traced_peak(config, shape, largest(config, shape).longest, learns=False)
    assert scorer["weights"] + scorer["activations"] == pytest.approx(weights + found, rel=0.06)


ADAPTERS = {
    "all of the language model": "{}",
    "two of a layer": "{targets: [q_proj, v_proj], rank: 64}",
    "the tower as well": "{vision: true}",
}


@pytest.mark.parametrize("lora", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize(
    ("name", "checkpointing"),
    [
        ("Qwen2.5-VL-3B-Instruct", "true"),
        ("Qwen2.5-VL-3B-Instruct", "false"),
        ("Qwen3-VL-4B-Instruct", "true"),
    ],
)
def test_a_row_of_adapters_takes_what_the_plan_says(
    name: str, checkpointing: str, lora: str
) -> None:
    shape = some_layers(KNOWN[name])
    weights = shape.parameters * 2 / GB
    settings = (f"learner.gradient_checkpointing={checkpointing}", f"learner.lora={lora}")
    config = shipped_config(*settings, *ROWS["7k"], name="cdpo_1x24gb")
    each = largest(config, shape).longest
    planned = max(map(total, row_phases(config, shape, each, exact=False)))
    found = traced_peak(config, shape, each, learns=True)
    assert weights + planned == pytest.approx(weights + found, rel=0.06)


@pytest.mark.parametrize("row", ["small groups", "7k"])
def test_at_its_full_size_the_3b_on_one_card_takes_what_the_plan_says(row: str) -> None:
    """Also of the row alone, and asked as the anchor."""
    shape = KNOWN["Qwen2.5-VL-3B-Instruct"]
    config = shipped_config(*ROWS[row], name="cdpo_1x24gb")
    each = largest(config, shape).longest
    planned = max(map(total, row_phases(config, shape, each, exact=False)))
    assert planned == pytest.approx(traced_peak(config, shape, each, learns=True), rel=0.06)
    scoring = scoring_phase(config, shape)["scoring"]
    assert scoring == pytest.approx(traced_peak(config, shape, each, learns=False), rel=0.06)


@pytest.mark.parametrize("row", ROWS)
def test_a_tower_that_keeps_less_takes_no_more_than_planned(row: str) -> None:
    """Its MLP has no gate and its heads no angles, and the plan's constants know only of those."""
    shape = some_layers(KNOWN["llava-onevision-qwen2-0.5b-ov-hf"])
    weights = shape.parameters * 2 / GB
    for checkpointing in ("true", "false"):
        config = shipped_config(f"learner.gradient_checkpointing={checkpointing}", *ROWS[row])
        each = largest(config, shape).longest
        planned = weights + max(map(total, row_phases(config, shape, each, exact=False)))
        found = weights + traced_peak(config, shape, each, learns=True)
        assert 0.97 < planned / found < 1.35
    scorer = anchor_parts(config, shape)
    found = traced_peak(config, shape, largest(config, shape).longest, learns=False)
    assert scorer["weights"] + scorer["activations"] == pytest.approx(weights + found, rel=0.06)


def test_a_group_of_the_papers_shape_starts_few_things_on_a_gpu() -> None:
    shape = KNOWN["Qwen2.5-VL-3B-Instruct"]
    found = traced(shape, (8, 16, 32), 226, (768,) * 8, checkpointing=True)
    assert found.launches.total() <= LAUNCHES, found.launches.most_common(10)
