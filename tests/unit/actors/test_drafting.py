"""What is guessed, and how much of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from actors.drafting.drafter import Drafter, check_drafts_alone, drafting_options
from actors.drafting.memory import Memory
from videothinker.model.shape import DECODED_AT_ONCE

PROMPT = [90, 91, 92, 93, 94]


def remembering(*completions: list[int], tokens: int = 1000) -> Memory:
    memory = Memory(tokens)
    for one in completions:
        memory.remember(PROMPT, one)
    return memory


def test_what_came_before_is_guessed_again() -> None:
    memory = remembering(*[[1, 2, 3, 4]] * 8)
    assert memory.guess([*PROMPT, 1], 8) == [2, 3, 4]
    assert memory.guess([*PROMPT, 1], 2) == [2, 3]
    assert memory.guess(PROMPT, 8) == [1, 2, 3, 4]


def test_nothing_is_known_of_the_end_of_an_answer_or_of_tokens_never_seen() -> None:
    memory = remembering(*[[1, 2, 3]] * 4)
    assert memory.guess([1, 2, 3], 8) == []
    assert memory.guess([7], 8) == []
    assert memory.guess([], 8) == []
    assert Memory().guess(PROMPT, 8) == []


def test_the_longest_known_run_decides() -> None:
    memory = remembering(*[[1, 2, 5]] * 4, *[[3, 2, 6]] * 8)
    assert memory.guess([1, 2], 1) == [5]
    assert memory.guess([3, 2], 1) == [6]
    assert memory.guess([8, 2], 1) == [6]


def test_guessing_ends_where_the_whole_guess_holds_less_than_half_the_time() -> None:
    memory = remembering(*[[1, 2, 3, 4]] * 7, *[[1, 2, 3, 5]] * 4, *[[1, 6]] * 3)
    assert memory.guess([*PROMPT, 1], 8) == [2, 3]


def test_what_was_seen_once_is_no_guess_and_twice_one_token() -> None:
    assert remembering([1, 2, 3, 4]).guess([*PROMPT, 1], 8) == []
    assert remembering(*[[1, 2, 3, 4]] * 2).guess([*PROMPT, 1], 8) == [2]


def test_the_oldest_completions_are_forgotten_without_a_trace() -> None:
    memory = remembering(*[[1, 2, 3]] * 4, *[[4, 5, 6]] * 4, tokens=12)
    assert memory.guess([*PROMPT, 1], 8) == []
    assert memory.guess([*PROMPT, 4], 8) == [5, 6]
    same = remembering(*[[4, 5, 6]] * 4)
    assert memory._after == same._after


@pytest.fixture
def drafter(monkeypatch: pytest.MonkeyPatch) -> Drafter:
    """Without vLLM: 5 drafts, room for 64 tokens, token 3 forbidden."""
    family = SimpleNamespace(forbidden=[3])
    monkeypatch.setattr("actors.drafting.drafter.family_in", lambda config: family)
    config: Any = SimpleNamespace(
        speculative_config=SimpleNamespace(num_speculative_tokens=5),
        model_config=SimpleNamespace(max_model_len=64, hf_config=None),
    )
    made = Drafter(config)
    for _ in range(8):
        made.memory.remember(PROMPT, [1, 2, 4, 5, 6, 7])
    return made


def proposed(drafter: Drafter, rows: int, length: int = 6) -> list[list[int]]:
    """For so many requests, each with the prompt, other tokens and 1."""
    tokens = np.zeros((rows, 64), np.int32)
    tokens[:, length - 6 : length] = [*PROMPT, 1]
    return drafter.propose([[1]] * rows, np.full(rows, length), tokens)


def test_each_request_is_given_as_many_as_are_asked_for(drafter: Drafter) -> None:
    assert proposed(drafter, 2) == [[2, 4, 5, 6, 7]] * 2


@pytest.mark.parametrize(
    ("rows", "each"),
    [(42, 5), (43, 4), (64, 3), (65, 2), (DECODED_AT_ONCE // 2, 1), (DECODED_AT_ONCE, 0)],
)
def test_no_step_is_wider_than_a_full_one(drafter: Drafter, rows: int, each: int) -> None:
    assert [len(one) for one in proposed(drafter, rows)] == [each] * rows


def test_nothing_is_guessed_beyond_the_models_length(drafter: Drafter) -> None:
    assert [proposed(drafter, 1, length) for length in (60, 62, 63, 64)] == [
        [[2, 4, 5]],
        [[2]],
        [[]],
        [[]],
    ]


def test_a_request_that_was_given_no_token_is_left_alone(drafter: Drafter) -> None:
    tokens = np.tile([*PROMPT, 1], (2, 1))
    assert drafter.propose([[], [1]], np.full(2, 6), tokens)[0] == []


def test_what_may_not_be_sampled_is_forbidden_in_every_row(drafter: Drafter) -> None:
    model = SimpleNamespace(compute_logits=lambda hidden: hidden.clone())
    drafter.load_model(model)
    logits = model.compute_logits(torch.zeros(3, 5))
    assert logits.tolist() == [[0, 0, 0, -100, 0]] * 3


def test_a_step_without_drafts_is_sampled_as_without_them() -> None:
    asked: list[Any] = []
    runner = SimpleNamespace(_sample=lambda logits, drafted: asked.append(drafted))
    check_drafts_alone(runner)
    some, none = SimpleNamespace(max_spec_len=2), SimpleNamespace(max_spec_len=0)
    for drafted in (some, none, None):
        runner._sample("logits", drafted)
    assert asked == [some, None, None]


def test_an_engine_without_drafts_is_told_nothing_of_them() -> None:
    assert drafting_options(0) == {}
