"""Attention over sequences of a row against a mask over the whole row, through each kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from naive import naive_logprobs
from paper_shape import loss_of, made_up_group, paper_like_model
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from videothinker.model import attention
from videothinker.model.attention import Sequences, after_prompts, alone, attend
from videothinker.model.policy import Policy

CPU = torch.device("cpu")
HEADS, KEY_HEADS, SIZE = 4, 2, 8
GROUPS = ((5, (3, 1, 4)), (2, (3, 3)))
Kernel = Callable[[Tensor, Tensor, Tensor, Sequences], Tensor]


def row_mask() -> Tensor:
    """[row, row], what each token of GROUPS sees, one at a time."""
    row = sum(prompt + sum(completions) for prompt, completions in GROUPS)
    mask = torch.zeros(row, row, dtype=torch.bool)
    start = 0
    for prompt, completions in GROUPS:
        for token in range(start, start + prompt):
            mask[token, start : token + 1] = True
        begin = start + prompt
        for length in completions:
            for token in range(begin, begin + length):
                mask[token, start : start + prompt] = True
                mask[token, begin : token + 1] = True
            begin += length
        start = begin
    return mask


def states(row: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((row, HEADS, SIZE), (row, KEY_HEADS, SIZE), (row, KEY_HEADS, SIZE))
    return [torch.randn(size, generator=generator, requires_grad=True) for size in sizes]


def masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """[tokens, heads, D] each, through the plainest attention there is."""
    parts = [part.transpose(0, 1) for part in (query, key, value)]
    return scaled_dot_product_attention(*parts, attn_mask=mask, enable_gqa=True).transpose(0, 1)


def with_gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 2, output.numel()).view_as(output)
    return [output, *torch.autograd.grad((output * weights).sum(), inputs)]


def kernel_of_a_gpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_starts: Tensor,
    key_starts: Tensor,
    most_queries: int,
    most_keys: int,
    causal: bool,
) -> Tensor:
    """What such kernels are documented to compute, a sequence at a time."""
    assert (query_starts.dtype, key_starts.dtype) == (torch.int32, torch.int32)
    queries, keys = query_starts.diff().tolist(), key_starts.diff().tolist()
    assert (most_queries, most_keys) == (max(queries), max(keys))
    parts = zip(query.split(queries), key.split(keys), value.split(keys), strict=True)
    found = []
    for asking, answers, values in parts:
        mask = torch.ones(len(asking), len(answers), dtype=torch.bool)
        mask = mask.tril(len(answers) - len(asking)) if causal else mask
        found.append(masked(asking, answers, values, mask))
    return torch.cat(found)


@pytest.fixture(params=["by length", "torch", "torch 2.11", "flash-attn"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `attend` uses; a GPU's are played by what their documentation says."""
    if request.param == "by length":
        return

    def torch_kernel(*inputs: Any, window_size: tuple[int, int], enable_gqa: bool) -> Tensor:
        assert enable_gqa
        return kernel_of_a_gpu(*inputs, causal={(-1, 0): True, (-1, -1): False}[window_size])

    def older_kernel(*inputs: Any, window_size: tuple[int, int]) -> Tensor:
        return torch_kernel(*inputs, window_size=window_size, enable_gqa=True)

    older = request.param == "torch 2.11"
    own = older_kernel if older else torch_kernel
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", own)
    if request.param == "flash-attn":
        package = ModuleType("flash_attn")
        package.flash_attn_varlen_func = kernel_of_a_gpu  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "flash_attn", package)
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", None)
    attention.varlen.cache_clear()
    monkeypatch.setattr(attention, "by_length", attention.varlen())
    attention.varlen.cache_clear()


@pytest.mark.usefixtures("kernel")
def test_groups_see_their_prompt_and_themselves() -> None:
    mask = row_mask()
    inputs = states(len(mask))
    found = with_gradients(attend(*inputs, after_prompts(GROUPS, CPU)), inputs)
    for here, there in zip(found, with_gradients(masked(*inputs, mask), inputs), strict=True):
        torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("kernel")
def test_sequences_alone_see_themselves_both_ways() -> None:
    lengths = (4, 2, 4, 1)
    mask = torch.block_diag(*[torch.ones(length, length) for length in lengths]).bool()
    inputs = states(len(mask))
    found = with_gradients(attend(*inputs, alone(lengths, CPU)), inputs)
    for here, there in zip(found, with_gradients(masked(*inputs, mask), inputs), strict=True):
        torch.testing.assert_close(here, there, atol=1e-5, rtol=1e-5)


def test_windows_of_a_video_are_those_of_the_model_as_transformers_runs_it() -> None:
    """In three of four blocks patches see their window alone; at the edges these are smaller."""
    lengths, plain = (12, 30, 7), paper_like_model()
    group = made_up_group(plain, (2, 10, 14), 9, lengths)
    packed = Policy(paper_like_model())
    expected = naive_logprobs(plain, *group, 1.0)
    found, _ = packed([group], 1.0)
    losses = [loss_of(found, lengths), loss_of(expected, lengths)]
    torch.testing.assert_close(losses[0], losses[1], atol=1e-6, rtol=1e-5)
    for row, length in enumerate(lengths):
        here, there = found[row, :length], expected[row, :length]
        torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
    for loss in losses:
        loss.backward()
    for (name, here), there in zip(
        packed.model.named_parameters(), plain.parameters(), strict=True
    ):
        assert (here.grad - there.grad).norm() <= 1e-4 * there.grad.norm(), name


def test_a_gpus_kernel_gives_the_policys_loss_and_every_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Windows of the vision tower and rows of groups, at once."""
    lengths = (12, 30, 7)

    def update() -> list[Tensor]:
        model = paper_like_model()
        group = made_up_group(model, (2, 10, 14), 9, lengths)
        loss = loss_of(Policy(model)([group], 1.0)[0], lengths)
        return [loss, *torch.autograd.grad(loss, list(model.parameters()))]

    expected = update()

    def torch_kernel(*inputs: Any, window_size: tuple[int, int], enable_gqa: bool) -> Tensor:
        return kernel_of_a_gpu(*inputs, causal=window_size == (-1, 0))

    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", torch_kernel)
    monkeypatch.setattr(attention, "by_length", attention.torch_varlen)
    for here, there in zip(update(), expected, strict=True):
        assert (here - there).norm() <= 1e-5 * there.norm()


def test_32_bits_take_no_kernel_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "varlen", None)
    query, key, value = (part.to("meta") for part in states(4))
    assert attend(query, key, value, alone((2, 2), CPU)).shape == (4, HEADS, SIZE)
