"""Attention over rows that hold many sequences, each of which sees only what it may.

A row of groups is [prompt][completion 1]...[completion G] each: a prompt sees itself, a completion
the prompt and itself. A row of videos is windows of patches, each of which sees itself. Either is
one call of a kernel that takes sequences of various lengths; where there is none, those of equal
lengths share a call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequences:
    """Of a row: how many tokens ask in each, how many they are answered by, and which."""

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    causal: bool
    """Whether a sequence's last query sees all of its keys, the one before it all but the last, and
    so on; otherwise each sees all."""
    shared: Tensor | None
    """[sum of keys], where in the row each sequence's keys are; None if they are its own tokens."""
    query_starts: Tensor
    key_starts: Tensor
    """[sequences + 1] int32: the sums of `queries` and `keys`, as kernels take them."""


def alone(lengths: Sequence[int], device: torch.device) -> Sequences:
    """Sequences one after the other that see themselves, forwards and backwards."""
    starts = summed(lengths).to(device)
    return Sequences(
        queries=tuple(lengths),
        keys=tuple(lengths),
        causal=False,
        shared=None,
        query_starts=starts,
        key_starts=starts,
    )


def after_prompts(groups: Sequence[tuple[int, Sequence[int]]], device: torch.device) -> Sequences:
    """Of each group its prompt, then its completions, which see the prompt and themselves."""
    queries, keys, shared, start = [], [], [], 0
    for prompt, completions in groups:
        prompt_tokens = torch.arange(start, start + prompt)
        queries += [prompt, *completions]
        keys += [prompt, *[prompt + length for length in completions]]
        shared.append(prompt_tokens)
        for first, end in pairwise(accumulate(completions, initial=start + prompt)):
            shared += [prompt_tokens, torch.arange(first, end)]
        start += prompt + sum(completions)
    return Sequences(
        queries=tuple(queries),
        keys=tuple(keys),
        causal=True,
        shared=torch.cat(shared).to(device),
        query_starts=summed(queries).to(device),
        key_starts=summed(keys).to(device),
    )


def summed(lengths: Sequence[int]) -> Tensor:
    """Where each begins, and where the last ends."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


def attend(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    """[row, heads, D], and [row, key heads, D] twice -> [row, heads, D]."""
    if sequences.shared is not None:
        key, value = (part.index_select(0, sequences.shared) for part in (key, value))
    kernel = by_length if query.is_cpu or query.dtype not in HALF else varlen()
    return kernel(query, key, value, sequences)


@cache
def varlen() -> Callable[[Tensor, Tensor, Tensor, Sequences], Tensor]:
    """flash-attn's kernel if that is installed, or else torch's; both put the diagonal of a causal
    sequence where its last query and its last key are."""
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return torch_varlen

    def flash_varlen(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
        output: Tensor = flash_attn_varlen_func(
            query, key, value, *bounds(sequences), causal=sequences.causal
        )
        return output

    return flash_varlen


def torch_varlen(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    """torch's kernel, for 16 bits on a GPU; several heads share keys."""
    from torch.nn.attention.varlen import varlen_attn

    window = (-1, 0) if sequences.causal else (-1, -1)
    where = bounds(sequences)
    if wants_to_be_told(varlen_attn):
        output = varlen_attn(query, key, value, *where, window_size=window, enable_gqa=True)
    else:
        output = varlen_attn(query, key, value, *where, window_size=window)
    assert isinstance(output, Tensor)
    return output


@cache
def wants_to_be_told(kernel: Callable[..., Any]) -> bool:
    """That heads share keys; torch 2.11's takes such heads as well, and has no word for it."""
    return "enable_gqa" in signature(kernel).parameters


def bounds(sequences: Sequences) -> tuple[Any, ...]:
    """Where sequences of queries and keys begin, and how long the longest are."""
    starts = (sequences.query_starts, sequences.key_starts)
    return *starts, max(sequences.queries), max(sequences.keys)


def by_length(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences) -> Tensor:
    """On any device and in any type: sequences of equal lengths together."""
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, lengths in enumerate(zip(sequences.queries, sequences.keys, strict=True)):
        alike[lengths].append(place)
    parts = zip(
        query.split(sequences.queries),
        key.split(sequences.keys),
        value.split(sequences.keys),
        strict=True,
    )
    each = list(parts)
    outputs = [query] * len(each)
    for (asking, answering), places in alike.items():
        queries, keys, values = (
            torch.stack(part).transpose(1, 2)
            for part in zip(*[each[place] for place in places], strict=True)
        )
        square = asking == answering
        found = scaled_dot_product_attention(
            queries,
            keys,
            values,
            None if square or not sequences.causal else visible(asking, answering, query.device),
            is_causal=square and sequences.causal,
            enable_gqa=True,
        )
        for place, output in zip(places, found.transpose(1, 2), strict=True):
            outputs[place] = output
    return torch.cat(outputs)


def visible(asking: int, answering: int, device: torch.device) -> Tensor:
    """[asking, answering] bool: what each of the last tokens sees."""
    everything = torch.ones(asking, answering, dtype=torch.bool, device=device)
    return everything.tril(answering - asking)
