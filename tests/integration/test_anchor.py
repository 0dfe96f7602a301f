"""The frozen scorer and the model that it is compared with; no Ray and no sampler."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batches import uneven

from actors.anchor import AnchorScorer
from videothinker.config.settings import VideoConfig
from videothinker.method.prompts import training_text
from videothinker.mini import SHIPPED_BASE
from videothinker.model.families.known import shape_of
from videothinker.model.flops import scoring_flops
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
