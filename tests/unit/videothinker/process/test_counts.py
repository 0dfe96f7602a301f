"""What a group costs, counted and not timed: a change that makes it dearer has to say so here."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import completion, group
from counting import flops, rows_into

from learner.rows import row_sizes
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import VideoConfig
from videothinker.method.prompts import training_text
from videothinker.model.families.known import shape_of
from videothinker.model.flops import scoring_flops, training_flops
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import Prompt, Question, ScoredGroup

LENGTHS = (19, 16, 22, 18, 20, 17, 23, 19)
GROUPS = 12


@pytest.fixture(scope="module")
def policy(mini_base: Path) -> Policy:
    return Policy(load_model(mini_base, "float32"))


@pytest.fixture(scope="module")
def prompt(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> Prompt:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    return builder.build(mini_questions[0], training_text(mini_questions[0]))


@pytest.fixture(scope="module")
def completions() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(5, 100, size=length) for length in LENGTHS]


def in_rows(policy: Policy, prompt: Prompt, completions: list[np.ndarray]) -> list[torch.Tensor]:
    """Log-probs of the step's groups, in the rows that the learner makes of them."""
    longest = len(prompt.token_ids) + sum(LENGTHS)
    return [policy([(prompt, completions)] * size, 1.0)[0] for size in row_sizes(GROUPS, longest)]


def test_a_group_costs_no_more_arithmetic_than_it_did(
    policy: Policy, prompt: Prompt, completions: list[np.ndarray]
) -> None:
    """The anchor's forward pass, and the learner's two; a prompt of 136 tokens, 155 after it."""

    def score() -> None:
        with torch.inference_mode():
            policy([(prompt, completions)], 1.0)

    def learn() -> None:
        torch.cat(in_rows(policy, prompt, completions)).sum().backward()

    assert len(prompt.token_ids) == 136
    assert flops(score) <= 420e6
    assert flops(learn) / GROUPS <= 1290e6


def test_the_formula_has_nine_tenths_of_what_torch_counts(
    policy: Policy, prompt: Prompt, completions: list[np.ndarray], mini_base: Path
) -> None:
    """Attention in the vision tower is left out, and so is what is computed again."""
    asked = group(
        *[completion("", tokens) for tokens in completions],
        prompt_tokens=len(prompt.token_ids),
        patches=len(prompt.pixel_values),
    )
    shape = shape_of(mini_base)

    def score() -> None:
        with torch.inference_mode():
            policy([(prompt, completions)], 1.0)

    def learn() -> None:
        policy([(prompt, completions)], 1.0)[0].sum().backward()

    assert 0.9 < scoring_flops(shape, asked) / flops(score) <= 1
    assert 0.88 < training_flops(shape, asked, LearnerConfig()) / flops(learn) <= 1


def test_the_vision_tower_sees_each_video_of_a_row_once_and_the_head_no_prompt(
    policy: Policy, prompt: Prompt, completions: list[np.ndarray]
) -> None:
    sizes = row_sizes(GROUPS, len(prompt.token_ids) + sum(LENGTHS))
    with rows_into(policy.model.model.visual.patch_embed) as patches:
        in_rows(policy, prompt, completions)
    assert patches == [size * len(prompt.pixel_values) for size in sizes]


def test_a_prompt_takes_a_quarter_of_what_it_took_as_numbers(prompt: Prompt) -> None:
    """At a6358b0: pixels in float32, and 64 bits for each token and each of its positions."""
    [shown], tokens = prompt.shown, len(prompt.token_ids)
    numbers = 3 * 2 * 14 * 14  # channels, frames, height and width of a patch
    before = 4 * shown.patches * numbers + 8 * tokens + 3 * 8 * tokens
    assert prompt.size <= before / 4
    assert len(pickle.dumps(prompt)) <= prompt.size + 1_000, "and nothing else grows with it"


def test_a_group_travels_without_its_frames(prompt: Prompt) -> None:
    """Between processes: its tokens with a few numbers each."""
    tokens = 150
    scored = ScoredGroup(
        group=group(*[completion("", tokens) for _ in range(8)], about=prompt.question),
        rewards={"format": np.zeros(8, np.float32)},
        advantages=np.zeros(8, np.float32),
        anchor_logprobs=tuple(np.zeros(tokens, np.float32) for _ in range(8)),
    )
    assert len(pickle.dumps(scored)) <= 26_000
