"""The packed forward pass of a group against one row per completion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from naive import naive_logprobs

from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.method.prompts import training_text
from videothinker.model.policy import Policy, completion_mask, load_model, token_scores
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.model.shape import LOGITS_AT_ONCE
from videothinker.types import Prompt, Question


@pytest.fixture(scope="module")
def policy(mini_base: Path) -> Policy:
    return Policy(load_model(mini_base, "float32"))


@pytest.fixture(scope="module")
def plain(mini_base: Path) -> Any:
    """The same model, as transformers runs it."""
    return load_model(mini_base, "float32")


@pytest.fixture(scope="module")
def prompts(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> list[Prompt]:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    return [builder.build(question, training_text(question)) for question in mini_questions[:2]]


@pytest.fixture
def prompt(prompts: list[Prompt]) -> Prompt:
    return prompts[0]


@pytest.fixture
def completions() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(5, 100, size=length) for length in (3, 9, 1, 6)]


def test_a_group_in_one_row_equals_each_completion_in_a_row_of_its_own(
    policy: Policy, plain: Any, prompt: Prompt, completions: list[np.ndarray]
) -> None:
    policy.zero_grad()
    packed, packed_entropy = policy([(prompt, completions)], 1.0)
    mask = completion_mask([len(c) for c in completions], packed.device)
    packed.sum().backward()

    plain.zero_grad()
    expected = naive_logprobs(plain, prompt, completions, 1.0) * mask
    torch.testing.assert_close(packed, expected, atol=1e-5, rtol=0)
    expected.sum().backward()
    for row, completion in enumerate(completions):
        _, entropy = policy([(prompt, [completion])], 1.0)
        torch.testing.assert_close(
            packed_entropy[row, : len(completion)], entropy[0], atol=1e-5, rtol=1e-5
        )
    assert not packed[mask == 0].any()
    found = dict(policy.model.named_parameters())
    for name, parameter in plain.named_parameters():
        if parameter.grad is not None:
            apart = (found[name].grad - parameter.grad).norm() / parameter.grad.norm()
            assert apart < 1e-5, name


def test_groups_in_one_row_equal_each_group_in_a_row_of_its_own(
    policy: Policy, prompts: list[Prompt], completions: list[np.ndarray]
) -> None:
    one, other = prompts
    groups = [(one, completions), (other, completions[:2]), (one, completions[1:])]
    with torch.no_grad():
        together = policy(groups, 1.0)
        alone = [policy([group], 1.0) for group in groups]
    for values, parts in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(values, torch.cat(parts), atol=1e-5, rtol=0)


def test_a_completion_equals_the_model_run_plainly_on_prompt_and_completion(
    policy: Policy, plain: Any, prompt: Prompt, completions: list[np.ndarray]
) -> None:
    completion = completions[1]
    counted = prompt.next_position + np.arange(len(completion))
    places = policy.family.positions(prompt.token_ids, prompt.shown)
    positions = np.concatenate([places, np.tile(counted, (3, 1))], axis=1)
    pixels, _ = policy.family.pixels([prompt], "cpu")
    with torch.no_grad():
        logits = plain(
            input_ids=torch.from_numpy(np.concatenate([prompt.token_ids, completion]))[None],
            position_ids=torch.from_numpy(positions)[:, None],
            pixel_values_videos=pixels,
            video_grid_thw=torch.tensor([prompt.shown[0].grid]),
        ).logits[0, len(prompt.token_ids) - 1 : -1]
        config = policy.model.config
        logits[:, [config.video_token_id, config.image_token_id]] = -torch.inf
        logits[:, [config.vision_start_token_id, config.vision_end_token_id]] = -torch.inf
        plain = logits.log_softmax(1)[range(len(completion)), completion]
        packed, _ = policy([(prompt, [completion])], 1.0)
    torch.testing.assert_close(packed[0], plain, atol=1e-5, rtol=0)


def test_scores_of_a_head_that_knows_nothing_are_those_of_a_fair_die() -> None:
    head = torch.nn.Linear(3, 10, bias=False)
    torch.nn.init.zeros_(head.weight)
    hidden, tokens = torch.ones(2, 3), torch.tensor([0, 9])
    logp, entropy = token_scores(head, hidden, tokens, 1.0, forbidden=[4, 5, 6, 7])
    # six of the ten tokens are left: log 6
    torch.testing.assert_close(logp, torch.tensor([-1.791759, -1.791759]))
    torch.testing.assert_close(entropy, torch.tensor([1.791759, 1.791759]))


def test_an_entropy_has_the_gradient_of_its_formula_where_one_is_asked_for() -> None:
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(3, 10, bias=False), torch.randn(4, 3, requires_grad=True)
    tokens, left = torch.tensor([0, 1, 2, 9]), [0, 1, 2, 3, 5, 6, 7, 8, 9]
    _, entropy = token_scores(head, hidden, tokens, 0.7, [4], None, entropy_gradient=True)
    chances = (head(hidden)[:, left] / 0.7).softmax(1)
    expected = -(chances * chances.log()).sum(1)
    torch.testing.assert_close(entropy, expected)
    for here, there in zip(
        torch.autograd.grad(entropy.sum(), [hidden, head.weight]),
        torch.autograd.grad(expected.sum(), [hidden, head.weight]),
        strict=True,
    ):
        torch.testing.assert_close(here, there)
    assert not token_scores(head, hidden, tokens, 0.7, [4])[1].requires_grad


def test_chunks_change_neither_scores_nor_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(3, 10, bias=False), torch.randn(7, 3, requires_grad=True)
    tokens = torch.tensor([0, 1, 2, 3, 8, 9, 0])

    def results() -> list[torch.Tensor]:
        logp, entropy = token_scores(head, hidden, tokens, 0.7, forbidden=[4])
        return [logp, entropy, *torch.autograd.grad(logp.sum(), [hidden, head.weight])]

    whole = results()
    monkeypatch.setitem(LOGITS_AT_ONCE, "cpu", 20)  # two tokens at a time
    for here, there in zip(whole, results(), strict=True):
        torch.testing.assert_close(here, there)


def test_log_probs_are_of_the_distribution_at_the_sampling_temperature(
    policy: Policy, prompt: Prompt
) -> None:
    with torch.no_grad():
        every_token = [np.array([token]) for token in range(200)]
        cold, _ = policy([(prompt, every_token)], 0.5)
        warm, _ = policy([(prompt, every_token)], 1.0)
    # p_cold is proportional to p_warm ** 2
    difference = (cold - 2 * warm)[torch.isfinite(cold)]
    assert difference.std() < 1e-4


def test_vision_tokens_are_impossible(policy: Policy, prompt: Prompt) -> None:
    with torch.no_grad():
        start = np.array([policy.model.config.vision_start_token_id])
        logp, _ = policy([(prompt, [start])], 1.0)
    assert logp.item() == -torch.inf


def test_a_video_that_is_not_there_or_leads_elsewhere_has_no_prompt(
    mini_base: Path,
    tmp_path: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    read_here: Callable[[VideoConfig], ClipSource],
) -> None:
    builder = PromptBuilder(mini_base, tmp_path, read_here(mini_video))
    for video, reason in (("/gone.mp4", "gone.mp4: no such"), ("../../etc/passwd", "leads out of")):
        with pytest.raises(InputError, match=reason):
            builder.build(replace(mini_questions[0], video=video), "?")


def test_without_the_video_a_prompt_is_its_words_alone(
    mini_base: Path,
    mini_world: Path,
    prompt: Prompt,
    mini_video: VideoConfig,
    read_here: Callable[[VideoConfig], ClipSource],
) -> None:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    blind = builder.build(prompt.question, training_text(prompt.question), "blind")
    assert blind.pixel_values.size == 0
    # <|vision_start|>, the video's tokens and <|vision_end|> are what is missing
    merged = int(np.prod(prompt.shown[0].grid)) // 4
    assert len(blind.token_ids) == len(prompt.token_ids) - merged - 2
    assert blind.next_position == len(blind.token_ids)
