"""The anchor's scores of every token on a learner rank: exact divergences and products, held
against all scores at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import Batch, uneven
from learner_ranks import Ranks

from actors.anchor import AnchorScorer
from videothinker.config.kl import KLConfig
from videothinker.method.divergence import exact_divergence
from videothinker.mini.base.build import random_base
from videothinker.model.families.known import family_in
from videothinker.model.policy import load_model
from videothinker.types import Prompt

EXACT = KLConfig(direction="repel", anchor="base", estimator="exact")


def anchored(batch: Batch, anchor: Path, temperature: float, dtype: str = "float32") -> Batch:
    """What the anchor scorer says of a batch, its hidden states included."""
    scorer = AnchorScorer(dtype, temperature, "cpu")
    scorer.load(anchor)
    answered = []
    for scored, prompt in batch:
        scores = scorer.logprobs(scored.group, prompt, with_hidden=True)
        known = replace(scored, anchor_logprobs=scores.logprobs, anchor_hidden=scores.hidden)
        answered.append((known, prompt))
    return answered


def all_scores(model: Any, prompt: Prompt, tokens: np.ndarray, temperature: float) -> torch.Tensor:
    """Scores of every token that may be sampled [T, V], as transformers computes them."""
    counted = np.tile(prompt.next_position + np.arange(len(tokens)), (3, 1))
    family = family_in(model.config)
    places = family.positions(prompt.token_ids, prompt.shown)
    pixels, _ = family.pixels([prompt], "cpu")
    logits = model(
        input_ids=torch.from_numpy(np.concatenate([prompt.token_ids, tokens]))[None],
        position_ids=torch.from_numpy(np.concatenate([places, counted], axis=1))[:, None],
        pixel_values_videos=pixels,
        video_grid_thw=torch.tensor([prompt.shown[0].grid]),
    ).logits[0, len(prompt.token_ids) - 1 : -1]
    allowed = torch.ones(logits.shape[1], dtype=torch.bool)
    allowed[family.forbidden] = False
    scores: torch.Tensor = logits[:, allowed] / temperature
    return scores


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_policy_that_is_its_own_anchor_feels_no_exact_divergence(
    alone: Ranks, begin: Callable[..., None], prompts: list[Prompt], mini_base: Path, dtype: str
) -> None:
    begin(alone, dtype, kl=EXACT, anchor=mini_base)
    stats = alone.step(1, anchored(uneven(prompts), mini_base, 1.0, dtype), 0.1).stats
    assert stats["kl"] == pytest.approx(0, abs=1e-6)
    assert stats["divergence_gradient"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("stage", [2, 3])
def test_an_exact_divergence_has_the_value_and_gradient_of_all_scores_at_once(
    alone: Ranks,
    begin: Callable[..., None],
    prompts: list[Prompt],
    mini_base: Path,
    tmp_path: Path,
    stage: int,
) -> None:
    random_base(tmp_path / "other", seed=4)
    batch = anchored(uneven(prompts)[:1], tmp_path / "other", 0.7)
    [(scored, prompt)] = batch
    equal = replace(scored, advantages=np.zeros(3, np.float32))  # the divergence decides alone
    begin(alone, kl=EXACT, anchor=tmp_path / "other", temperature=0.7, zero_stage=stage)
    report = alone.step(1, [(equal, prompt)], 0.1)

    model, anchor = (load_model(path, "float32") for path in (mini_base, tmp_path / "other"))
    divergences = []
    for completion in scored.group.completions:
        with torch.no_grad():
            theirs = all_scores(anchor, prompt, completion.token_ids, 0.7)
        ours = all_scores(model, prompt, completion.token_ids, 0.7)
        divergences.append(exact_divergence(ours, theirs))
    mean = torch.stack([divergence.mean() for divergence in divergences]).mean()
    (0.1 * mean).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert mean.item() > 0.01
    assert report.stats["loss"] == pytest.approx(-0.1 * mean.item(), rel=1e-5)
    assert report.stats["kl"] == pytest.approx(torch.cat(divergences).mean().item(), rel=1e-5)
    norm = float(torch.nn.utils.get_total_norm(gradients))
    assert report.stats["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_a_product_has_the_gradient_of_all_scores_at_once(
    alone: Ranks,
    begin: Callable[..., None],
    prompts: list[Prompt],
    mini_base: Path,
    tmp_path: Path,
) -> None:
    random_base(tmp_path / "other", seed=4)
    [(scored, prompt)] = anchored(uneven(prompts)[:1], tmp_path / "other", 0.7)
    kl = KLConfig(direction="product", anchor="base")
    begin(alone, kl=kl, anchor=tmp_path / "other", temperature=0.7)
    report = alone.step(1, [(scored, prompt)], 0.5)

    model, anchor = (load_model(path, "float32") for path in (mini_base, tmp_path / "other"))
    forbidden, gains = np.array(family_in(model.config).forbidden), []
    for completion, advantage in zip(scored.group.completions, scored.advantages, strict=True):
        tokens = completion.token_ids
        with torch.no_grad():
            theirs = all_scores(anchor, prompt, tokens, 0.7)
        both = (all_scores(model, prompt, tokens, 0.7) + theirs / 2).log_softmax(1)
        column = [token - int((forbidden < token).sum()) for token in tokens]
        gains.append(float(advantage) * both[range(len(tokens)), column].mean())
    (-torch.stack(gains).mean()).backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert scored.advantages.any()
    assert report.stats["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
