"""Adapters under real DeepSpeed: on ranks, and a learner that is asked as its anchor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from batches import made_up
from learner_ranks import Ranks

from actors.anchor import AnchorScorer
from cluster.loop.states import save_state
from learner.losses import Assignment
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RunConfig, VideoConfig
from videothinker.model.checkpoint import Budget
from videothinker.model.families.known import shape_of
from videothinker.planning.disk import state_gb, written_gb
from videothinker.types import AnchorScores, Prompt

LORA = LoraConfig(rank=4)
Begin = Callable[..., None]


@pytest.fixture(scope="module")
def alone() -> Iterator[Ranks]:
    with closing(Ranks(1)) as ranks:
        yield ranks


@pytest.fixture(scope="module")
def pair() -> Iterator[Ranks]:
    with closing(Ranks(2)) as ranks:
        yield ranks


@pytest.fixture
def begin(mini_base: Path, mini_video: VideoConfig) -> Begin:
    """A fresh adapter of seed 7 beside the base."""

    def begin(
        ranks: Ranks,
        zero: int = 2,
        asked: Sequence[Path] = (),
        seed: int = 7,
        lora: LoraConfig = LORA,
    ) -> None:
        task = Assignment(
            model=mini_base,
            dtype="float32",
            learner=LearnerConfig(
                learning_rate=1e-2, max_grad_norm=1.0, zero_stage=zero, lora=lora
            ),
            kl=KLConfig(),
            temperature=0.7,
            steps=10,
            budget=Budget(video=mini_video, dtype="float32", max_tokens=24, max_model_len=512),
            logprob_tolerance=1e6,
            seed=seed,
            asked=asked,
        )
        ranks.all("start_stage", task)

    return begin


@pytest.fixture
def adapter(
    alone: Ranks, begin: Begin, prompts: list[Prompt], mini_base: Path, tmp_path: Path
) -> Path:
    """One that was trained, of another seed."""
    begin(alone, seed=8)
    train(alone, prompts)
    alone.all("save_model", tmp_path / "adapter", mini_base)
    return tmp_path / "adapter"


def train(ranks: Ranks, prompts: list[Prompt]) -> dict[str, np.ndarray]:
    """What two steps make of the adapter."""
    for step in (1, 2):
        ranks.step(step, made_up(prompts, step))
    weights: dict[str, np.ndarray] = safetensors.numpy.load(ranks.weights())
    return weights


def test_ranks_and_stages_learn_the_same(
    alone: Ranks, pair: Ranks, begin: Begin, prompts: list[Prompt]
) -> None:
    found = []
    for ranks, zero in ((alone, 0), (alone, 2), (pair, 2), (pair, 3)):
        begin(ranks, zero)
        found.append(train(ranks, prompts))
    first, *others = found
    assert all(".lora_" in name for name in first)
    for other in others:
        assert other.keys() == first.keys()
        assert max(np.abs(other[name] - one).max() for name, one in first.items()) < 1e-4, (
            "of steps of 1e-2"
        )
    assert any(one.any() for name, one in first.items() if ".lora_B." in name)


def said(scores: AnchorScores) -> list[Any]:
    return [scores.logprobs, scores.initial_logprobs, scores.hidden]


def test_the_learner_says_what_a_scorer_says_and_learns_as_if_nobody_had_asked(
    alone: Ranks, begin: Begin, prompts: list[Prompt], mini_base: Path, adapter: Path
) -> None:
    scorer = AnchorScorer("float32", 0.7, "cpu")
    scorer.load(adapter, mini_base)
    begin(alone, asked=(adapter, mini_base))
    for step in (1, 2):
        batch = made_up(prompts, step)
        for scored, prompt in batch:
            ours = alone.all("logprobs", scored.group, prompt, True)
            theirs = scorer.logprobs(scored.group, prompt, with_hidden=True)
            for one, other in zip(said(ours), said(theirs), strict=True):
                for values, expected in zip(one, other, strict=True):
                    np.testing.assert_allclose(values, expected, atol=1e-5)
            anchor, initial = ours.logprobs, ours.initial_logprobs
            assert max(np.abs(a - b).max() for a, b in zip(anchor, initial, strict=True)) > 1e-2
        alone.step(step, batch)
    asked: dict[str, np.ndarray] = safetensors.numpy.load(alone.weights())
    begin(alone)
    for name, values in train(alone, prompts).items():
        np.testing.assert_array_equal(asked[name], values)


def test_who_is_asked_between_rows_that_come_ahead_learns_as_if_nobody_had_asked(
    alone: Ranks, begin: Begin, prompts: list[Prompt], mini_base: Path, adapter: Path
) -> None:
    found = []
    for asks in (True, False):
        begin(alone, asked=(adapter, mini_base))
        for step in (1, 2):
            first, last = made_up(prompts, step)
            asked = last[0].group, last[1], True
            ask = partial(alone.all, "logprobs", *asked) if asks else bool
            alone.ahead(step, [first], [last], meanwhile=ask)
        found.append(alone.weights())
    assert found[0] == found[1]


def test_a_state_is_as_large_as_planned(
    alone: Ranks, begin: Begin, prompts: list[Prompt], run_config: RunConfig, tmp_path: Path
) -> None:
    wide = LoraConfig(rank=64)
    begin(alone, lora=wide)
    train(alone, prompts)
    save_state(alone, tmp_path, 1)  # type: ignore[arg-type]
    config = run_config.model_copy(update={"learner": LearnerConfig(lora=wide)})
    planned = state_gb(config, shape_of(config.model.path))
    assert written_gb(tmp_path) == pytest.approx(planned, rel=0.1)
