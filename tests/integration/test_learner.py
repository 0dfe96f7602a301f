"""Real DeepSpeed on the tiny model: states, settings, refusals; no Ray and no sampler."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from batches import group, made_up, uneven
from learner_ranks import Ranks

from cluster.loop.states import newest_state, save_state
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RunConfig
from videothinker.errors import DivergenceError, InputError
from videothinker.model.families.known import shape_of
from videothinker.model.families.qwen2_5_vl import Qwen25VL
from videothinker.planning.disk import state_gb, written_gb
from videothinker.types import Prompt

LORA = LoraConfig(rank=4)


@pytest.fixture(scope="module")
def pair() -> Iterator[Ranks]:
    ranks = Ranks(2)
    yield ranks
    ranks.close()


def train(ranks: Ranks, prompts: list[Prompt], steps: range) -> list[float]:
    return [ranks.step(step, made_up(prompts, step)).stats["loss"] for step in steps]


def largest_difference(ours: bytes, theirs: bytes) -> float:
    first, second = safetensors.numpy.load(ours), safetensors.numpy.load(theirs)
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


@pytest.mark.parametrize(
    ("dtype", "settings"),
    [
        ("float32", {"zero_stage": 2, "warmup_steps": 4}),
        ("float32", {"zero_stage": 0}),
        ("bfloat16", {"zero_stage": 2}),
        ("float32", {"zero_stage": 3, "freeze": ("vision", "embeddings")}),
        ("bfloat16", {"zero_stage": 2, "lora": LORA}),
        ("float32", {"zero_stage": 3, "lora": LORA}),
    ],
)
def test_going_on_from_a_state_is_going_on_bit_for_bit(
    alone: Ranks,
    begin: Callable[..., None],
    prompts: list[Prompt],
    tmp_path: Path,
    dtype: str,
    settings: dict[str, Any],
) -> None:
    begin(alone, dtype, **settings)
    train(alone, prompts, range(1, 4))
    save_state(alone, tmp_path, 3)  # type: ignore[arg-type]
    expected = train(alone, prompts, range(4, 7)), alone.weights()

    begin(alone, dtype, **settings)
    step, state = newest_state(tmp_path)
    alone.all("load_state", state)
    assert (train(alone, prompts, range(step + 1, 7)), alone.weights()) == expected


@pytest.mark.parametrize(("dtype", "stage"), [("float32", 0), ("bfloat16", 2), ("bfloat16", 3)])
def test_a_state_is_as_large_as_planned(
    alone: Ranks,
    begin: Callable[..., None],
    prompts: list[Prompt],
    run_config: RunConfig,
    tmp_path: Path,
    dtype: str,
    stage: int,
) -> None:
    begin(alone, dtype, zero_stage=stage)
    train(alone, prompts, range(1, 2))
    save_state(alone, tmp_path, 1)  # type: ignore[arg-type]
    model = run_config.model.model_copy(update={"dtype": dtype})
    changes = {"model": model, "learner": LearnerConfig(zero_stage=stage)}  # type: ignore[arg-type]
    planned = state_gb(run_config.model_copy(update=changes), shape_of(model.path))
    assert written_gb(tmp_path) == pytest.approx(planned, rel=0.1)


def test_two_ranks_go_on_from_a_state_within_a_millionth(
    pair: Ranks, begin: Callable[..., None], prompts: list[Prompt], tmp_path: Path
) -> None:
    begin(pair, zero_stage=3)
    train(pair, prompts, range(1, 3))
    save_state(pair, tmp_path, 2)  # type: ignore[arg-type]
    losses, weights = train(pair, prompts, range(3, 5)), pair.weights()

    begin(pair, zero_stage=3)
    pair.all("load_state", newest_state(tmp_path)[1])
    assert train(pair, prompts, range(3, 5)) == pytest.approx(losses, abs=1e-6)
    assert largest_difference(pair.weights(), weights) < 1e-6


@pytest.mark.parametrize(("name", "before", "after"), [("ranks", 2, 1), ("zero_stage", 2, 3)])
def test_a_state_of_another_layout_is_refused_in_one_line(
    alone: Ranks, begin: Callable[..., None], tmp_path: Path, name: str, before: int, after: int
) -> None:
    begin(alone, zero_stage=3 if name == "zero_stage" else 2)
    saved = {"ranks": 1, "zero_stage": 2} | {name: before}
    (tmp_path / "progress.json").write_text(json.dumps(saved))
    message = f"saved with learner.{name} = {before}, resumed with {after}"
    with pytest.raises(InputError, match=message) as refused:
        alone.all("load_state", tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_gradient_that_is_not_finite_changes_no_weight(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt], stage: int
) -> None:
    begin(alone, zero_stage=stage, temperature=1e-4)  # slopes times 10,000
    before = alone.weights()
    huge = np.array([1e36, -1e36, 1e36], np.float32)  # the loss is finite
    scored = group(prompts[0], np.random.default_rng(0), (5, 9, 3), advantages=huge)
    with pytest.raises(DivergenceError, match="step 1: the gradient is not finite"):
        alone.step(1, [(scored, prompts[0])])
    assert alone.weights() == before


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.0),  # advantages of a group sum to zero
        ({"aggregation": "token"}, -((5 + 18 - 9) + (4 - 4 - 6)) / 23),
        ({"mask_truncated": True}, -((1 + 2) / 3 + (4 - 2) / 3) / 2),
        ({"aggregation": "token", "mask_truncated": True}, -((5 + 18) + (4 - 4)) / 17),
    ],
)
def test_the_loss_is_the_mean_that_was_asked_for(
    alone: Ranks,
    begin: Callable[..., None],
    prompts: list[Prompt],
    settings: dict[str, Any],
    expected: float,
) -> None:
    begin(alone, **settings)
    report = alone.step(1, uneven(prompts))
    assert report.stats["loss"] == pytest.approx(expected, abs=1e-6)


def test_two_ranks_or_several_rows_take_the_mean_over_all_tokens_that_one_row_takes(
    alone: Ranks, pair: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    reports = []
    for ranks, times in ((alone, 1), (pair, 1), (alone, 8)):  # 16 groups are more than a row holds
        begin(ranks, aggregation="token")
        reports.append(ranks.step(1, uneven(prompts) * times).stats)
    for name in ("loss", "grad_norm", "entropy", "policy_gradient"):
        found = [report[name] for report in reports]
        assert found == pytest.approx([found[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_rows_that_come_ahead_of_the_update_make_the_same_step_bit_for_bit(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt], stage: int
) -> None:
    groups = uneven(prompts) * 8  # two rows
    half = len(groups) // 2
    found = []
    for ahead in (False, True):
        begin(alone, zero_stage=stage)
        for step in (1, 2):
            if ahead:
                stats = alone.ahead(step, groups[:half], groups[half:]).stats
            else:
                stats = alone.step(step, groups).stats
        figures = [stats[name] for name in ("loss", "grad_norm", "entropy", "policy_gradient")]
        found.append((figures, alone.weights()))
    assert found[0] == found[1]


def test_two_ranks_learn_ahead_what_one_learns_at_once(
    alone: Ranks, pair: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    groups = uneven(prompts) * 8
    reports = []
    for ranks in (alone, pair):
        begin(ranks)
        reports.append(ranks.ahead(1, groups[:4], groups[4:12], groups[12:]).stats)
    begin(alone)
    reports.append(alone.step(1, groups).stats)
    for name in ("loss", "grad_norm", "entropy", "policy_gradient"):
        found = [report[name] for report in reports]
        assert found == pytest.approx([found[0]] * 3, rel=1e-5)


def test_a_step_of_truncated_completions_alone_moves_nothing(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    begin(alone, mask_truncated=True)
    before = alone.weights()
    cut = group(prompts[0], np.random.default_rng(0), (5, 9), ("length", "length"))
    report = alone.step(1, [(cut, prompts[0])])
    assert report.stats["grad_norm"] == 0
    assert alone.weights() == before


def test_frozen_parts_keep_their_weights_and_the_others_move(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    begin(alone, freeze=("vision", "embeddings"))
    before = safetensors.numpy.load(alone.weights())
    alone.step(1, uneven(prompts))
    after = safetensors.numpy.load(alone.weights())
    moved = {Qwen25VL.part_of(name) for name in before if (before[name] != after[name]).any()}
    assert moved == {"merger", "layers"}


def test_the_coefficient_is_that_of_the_step_not_that_of_the_settings(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    anchors = tuple(np.full(length, -9.0, np.float32) for length in (5, 9, 3))
    batch = [(replace(s, anchor_logprobs=anchors), p) for s, p in uneven(prompts)[:1]]
    ratios = []
    for coefficient in (0.0, 0.1, 0.2):
        begin(alone, kl=KLConfig(direction="repel", anchor="base", coefficient=5.0))
        ratios.append(alone.step(1, batch, coefficient).stats["repulsion_ratio"])
    assert ratios[0] == 0
    assert ratios[2] == pytest.approx(2 * ratios[1], rel=1e-4)


def test_the_estimator_decides_the_force(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    anchors = tuple(np.full(length, -9.0, np.float32) for length in (5, 9, 3))
    batch = [(replace(s, anchor_logprobs=anchors), p) for s, p in uneven(prompts)[:1]]
    forces = set()
    for estimator in ("k1", "k2", "k3", "policy"):
        begin(alone, kl=KLConfig(direction="repel", anchor="base", estimator=estimator))
        forces.add(round(alone.step(1, batch, 0.1).stats["divergence_gradient"], 5))
    assert len(forces) == 4


def test_a_sampler_that_disagrees_is_measured_and_with_a_cap_corrected_for(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    reports = []
    for cap in (None, 1.0):
        begin(alone, importance_cap=cap)
        batch = uneven(prompts)
        for scored, _ in batch:
            for completion in scored.group.completions:
                completion.logprobs[:] = -9.0  # the policy finds each token likelier than that
            scored.group.completions[0].logprobs[:] = -1.0  # but these
        reports.append(alone.step(1, batch).stats)
    assert reports[0]["importance_mean"] > 1
    assert reports[0]["loss"] == pytest.approx(0, abs=1e-6)
    assert reports[1]["importance_mean"] < 1
    assert reports[1]["importance_truncated"] > 0.5
    assert abs(reports[1]["loss"]) > 0.1


def test_tokens_outside_the_divergence_mask_do_not_feel_it(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt]
) -> None:
    anchors = tuple(np.full(length, -9.0, np.float32) for length in (5, 9, 3))
    scored, prompt = uneven(prompts)[0]
    forces = []
    for felt in (True, False):
        begin(alone, kl=KLConfig(direction="repel", anchor="base"))
        masks = tuple(np.full(length, felt) for length in (5, 9, 3))
        masked = replace(scored, anchor_logprobs=anchors, divergence_mask=masks)
        forces.append(alone.step(1, [(masked, prompt)], 0.1).stats["divergence_gradient"])
    assert forces[0] > 0
    assert forces[1] == 0


@pytest.mark.slow
def test_an_offloaded_optimizer_trains_alike_and_goes_on_within_rounding(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt], tmp_path: Path
) -> None:
    begin(alone)
    train(alone, prompts, range(1, 3))
    on_the_device = alone.weights()
    begin(alone, offload=True)  # compiles DeepSpeed's Adam the first time
    train(alone, prompts, range(1, 3))
    offloaded = alone.weights()
    assert offloaded != on_the_device  # another implementation rounds differently
    assert largest_difference(offloaded, on_the_device) < 1e-4

    save_state(alone, tmp_path, 2)  # type: ignore[arg-type]
    train(alone, prompts, range(3, 5))
    expected = alone.weights()
    begin(alone, offload=True)
    alone.all("load_state", newest_state(tmp_path)[1])
    train(alone, prompts, range(3, 5))
    # the last bits of DeepSpeed's Adam differ after a resume
    assert largest_difference(alone.weights(), expected) < 1e-6
