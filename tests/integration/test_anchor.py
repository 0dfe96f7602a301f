"""The frozen scorer and the model that it is compared with; no Ray and no sampler."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import uneven
from naive import naive_logprobs

from actors.anchor import AnchorScorer
from videothinker.config.kl import AnchorView
from videothinker.config.settings import VideoConfig
from videothinker.method.prompts import training_text
from videothinker.mini import SHIPPED_BASE
from videothinker.model.families.known import family_in, shape_of
from videothinker.model.families.pixels import normalised
from videothinker.model.flops import scoring_flops
from videothinker.model.policy import load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.process import metrics
from videothinker.types import Prompt, Question, ScoredGroup


@pytest.fixture
def asked(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> tuple[ScoredGroup, Prompt]:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    prompts = [builder.build(question, training_text(question)) for question in mini_questions[:2]]
    return uneven(prompts)[0]


def test_the_scorer_says_what_the_initial_model_says_beside_the_anchor(
    mini_base: Path, asked: tuple[ScoredGroup, Prompt]
) -> None:
    scored, prompt = asked
    both, base = AnchorScorer("float32", 1.0, "cpu"), AnchorScorer("float32", 1.0, "cpu")
    both.load(SHIPPED_BASE, mini_base)
    base.load(mini_base)
    said, expected = both.logprobs(scored.group, prompt), base.logprobs(scored.group, prompt)
    assert said.initial_logprobs is not None
    assert expected.initial_logprobs is None
    pairs = zip(said.initial_logprobs, said.logprobs, expected.logprobs, strict=True)
    for initial, anchor, right in pairs:
        assert np.array_equal(initial, right)
        assert np.abs(anchor - right).max() > 1e-3


def by_hand(prompt: Prompt, view: AnchorView) -> np.ndarray:
    """Pixels of a video alone under a view whose outcome nobody has to draw."""
    [shown] = prompt.shown
    by_time = normalised(prompt.pixel_values, prompt.colours).numpy().reshape(shown.grid[0], -1)
    left = np.zeros_like(by_time) if view == "blind" else by_time[[len(by_time) // 2]]
    return np.broadcast_to(left, by_time.shape).reshape(prompt.pixel_values.shape).copy()


@pytest.fixture(params=["mini_base", "mini_base_qwen3"])
def either(request: pytest.FixtureRequest) -> Path:
    """A model of each family of Qwen's that has a tiny one."""
    base: Path = request.getfixturevalue(request.param)
    return base


@pytest.mark.parametrize("view", ["blind", "frame", "shuffled", "masked"])
def test_under_a_view_the_anchor_is_a_plain_forward_pass_on_other_pixels(
    either: Path,
    view: AnchorView,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> None:
    builder = PromptBuilder(either, mini_world / "raw" / "videos", read_here(mini_video))
    prompt = builder.build(mini_questions[0], training_text(mini_questions[0]))
    [(scored, _), *_] = uneven([prompt, prompt])
    scorer = AnchorScorer("float32", 1.0, "cpu")
    scorer.load(either, either)
    said = scorer.logprobs(scored.group, prompt, view=view)
    whole = scorer.logprobs(scored.group, prompt)

    plain = load_model(either, "float32")
    seen = family_in(plain.config).seen_as(prompt, view)
    if view in ("blind", "frame"):
        assert np.array_equal(seen.pixel_values, by_hand(prompt, view))
    tokens = [one.token_ids for one in scored.group.completions]
    with torch.no_grad():
        rows = naive_logprobs(plain, seen, tokens, 1.0).numpy()
    for row, one, all_of_it in zip(rows, said.logprobs, whole.logprobs, strict=True):
        assert np.abs(row[: len(one)] - one).max() < 1e-4
        assert np.abs(all_of_it - one).max() > 1e-3
    assert (said.saw_all, whole.saw_all) == (False, True)
    assert said.initial_logprobs is not None
    for initial, one in zip(said.initial_logprobs, whole.logprobs, strict=True):
        assert np.array_equal(initial, one)


def test_what_a_scorer_does_is_timed_and_counted_once_for_each_of_its_models(
    mini_base: Path, asked: tuple[ScoredGroup, Prompt]
) -> None:
    scored, prompt = asked
    scorer = AnchorScorer("float32", 1.0, "cpu")
    counters = (metrics.ANCHOR_TOKENS, metrics.FLOPS)
    added = []
    for models in ((mini_base,), (mini_base, mini_base)):
        scorer.load(*models)
        before = [counter._value.get() for counter in counters]
        started = time.monotonic()
        said = scorer.logprobs(scored.group, prompt)
        assert 0 < said.seconds <= time.monotonic() - started
        added.append([c._value.get() - old for c, old in zip(counters, before, strict=True)])
    tokens = sum(len(one.token_ids) for one in scored.group.completions)
    flops = scoring_flops(shape_of(mini_base), scored.group)
    assert added == [[tokens, pytest.approx(flops)], [tokens, pytest.approx(2 * flops)]]


def test_a_scorer_lets_go_of_one_model_before_it_takes_the_next(
    mini_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, left = AnchorScorer("float32", 1.0, "cpu"), []
    scorer.load(mini_base)
    weights = weakref.ref(next(scorer._voices[0].policy.parameters()))
    frozen = scorer._frozen

    def look(model: Path) -> Any:
        left.append(weights())
        return frozen(model)

    monkeypatch.setattr(scorer, "_frozen", look)
    scorer.load(SHIPPED_BASE)
    assert left == [None]
    scorer.load()
    assert scorer._voices == []
