"""The output head, whose scores are not rounded to the type of the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, linear

from videothinker.model.layers import FullScores, full_scores
from videothinker.model.policy import Policy, load_model


def operands() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((7, 32), (50, 32))
    states, head = (torch.randn(size, generator=generator).bfloat16() for size in sizes)
    return states.requires_grad_(), head.requires_grad_()


def test_scores_from_16_bits_have_32() -> None:
    states, head = operands()
    scores = full_scores(states, head)
    assert scores.dtype == torch.float32
    assert torch.equal(scores, linear(states.float(), head.float()))
    assert not torch.equal(scores, linear(states, head).float())


def test_a_gpu_multiplies_16_bits_and_copies_no_weights() -> None:
    states, head = (one.detach().to("meta") for one in operands())
    with torch.profiler.profile() as seen:
        scores = full_scores(states, head)
    assert (scores.dtype, scores.shape) == (torch.float32, (7, 50))
    assert {event.key for event in seen.key_averages()} & {"aten::to", "aten::_to_copy"} == set()


def test_gradients_of_scores_from_16_bits_are_those_of_32_rounded_once() -> None:
    states, head = operands()
    exact = [one.detach().float().requires_grad_() for one in (states, head)]
    tokens = torch.arange(7)
    cross_entropy(FullScores.apply(states, head), tokens).backward()
    cross_entropy(linear(*exact), tokens).backward()
    for ours, theirs in zip((states, head), exact, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.dtype == torch.bfloat16
        off = torch.linalg.vector_norm(ours.grad.float() - theirs.grad)
        assert off < 0.005 * torch.linalg.vector_norm(theirs.grad)


def test_a_head_that_is_frozen_gets_no_gradient() -> None:
    states, head = operands()
    head.requires_grad_(False)
    FullScores.apply(states, head).sum().backward()
    assert head.grad is None
    assert states.grad is not None


def test_a_policy_of_16_bits_scores_in_32(mini_base: Path) -> None:
    head = Policy(load_model(mini_base, "bfloat16")).model.lm_head
    assert head(torch.ones(1, head.in_features, dtype=torch.bfloat16)).dtype == torch.float32
