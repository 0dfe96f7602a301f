"""Layers of a model, so that a row takes few operations: a GPU starts each in a time that small
ones do not last.

The numbers are those of transformers' layers, whose parameters and names stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm

from videothinker.model.attention import Sequences, attend

Rotation = tuple[Tensor, Tensor]
"""Of each token cosine and sine [row, 1, D]; the sine's first half is negative."""


def multiply_patches(patches: nn.Conv3d) -> None:
    """Let a convolution over patches that do not overlap be the product of matrices that it is."""
    assert patches.kernel_size == patches.stride

    def product(input: Tensor) -> Tensor:
        return linear(input.flatten(1), patches.weight.flatten(1), patches.bias)

    patches.forward = product  # type: ignore[method-assign]


def normalize_at_once(norm: Any) -> None:
    """One operation for the root mean square and what follows."""

    def normalized(hidden: Tensor) -> Tensor:
        return rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)

    norm.forward = normalized


def sign_sines(embedding: Any) -> None:
    """Angles once a row, with the sign that `rotated` needs."""
    angles: Callable[..., Rotation] = type(embedding).forward.__get__(embedding)

    def signed(hidden: Tensor, positions: Tensor) -> Rotation:
        cosine, sine = angles(hidden, positions)
        first, second = sine.chunk(2, dim=-1)
        return cosine, torch.cat([-first, second], dim=-1)

    embedding.forward = signed


def rotated(states: Tensor, rotation: Rotation) -> Tensor:
    """Heads [row, ..., D] turned by their token's angles."""
    cosine, sine = rotation
    swapped = states.roll(states.shape[-1] // 2, dims=-1)
    return torch.addcmul(states * cosine, swapped, sine)


def see_patches(attention: Any) -> None:
    """Attention of the vision tower over all windows at once."""

    def forward(
        hidden_states: Tensor, cu_seqlens: Sequences, position_embeddings: Rotation, **_: Any
    ) -> Tensor:
        row = len(hidden_states)
        mixed = attention.qkv(hidden_states).view(row, 3, attention.num_heads, -1)
        cosine, sine = (part[:, None, None] for part in position_embeddings)
        asking, answers = mixed.split([2, 1], dim=1)
        query, key = rotated(asking.float(), (cosine, sine)).to(mixed.dtype).unbind(1)
        found = attend(query, key, answers.squeeze(1), cu_seqlens)
        output: Tensor = attention.proj(found.reshape(row, -1))
        return output

    attention.forward = forward


def see_frames(attention: Any) -> None:
    """Attention of a vision tower without angles over whole frames [frames, patches, H]."""

    def forward(hidden_states: Tensor, attention_mask: Sequences, **_: Any) -> tuple[Tensor, None]:
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        query, key, value = (
            project(hidden_states).view(-1, attention.num_heads, attention.head_dim)
            for project in projections
        )
        found = attend(query, key, value, attention_mask)
        return attention.out_proj(found.view_as(hidden_states)), None

    attention.forward = forward


def read_groups(attention: Any) -> None:
    """Attention of the language model over all groups of a row at once; in some models each head
    of queries and keys has a norm."""
    norms = [getattr(attention, name, nn.Identity()) for name in ("q_norm", "k_norm")]

    def forward(
        hidden_states: Tensor,
        attention_mask: Sequences,
        position_embeddings: Rotation,
        **_: Any,
    ) -> tuple[Tensor, None]:
        row = hidden_states.shape[1]
        cosine, sine = (part[0, :, None] for part in position_embeddings)
        query, key, value = (
            project(hidden_states).view(row, -1, attention.head_dim)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = (
            rotated(norm(part), (cosine, sine))
            for norm, part in zip(norms, (query, key), strict=True)
        )
        found = attend(query, key, value, attention_mask)
        return attention.o_proj(found.reshape(1, row, -1)), None

    attention.forward = forward


def score_in_full(head: nn.Linear) -> None:
    """Scores of the vocabulary in 32 bits, as the engine's are (`head_dtype`)."""

    def scored(input: Tensor) -> Tensor:
        scores: Tensor = FullScores.apply(input, head.weight)  # type: ignore[no-untyped-call]
        return scores

    head.forward = scored  # type: ignore[method-assign]


def full_scores(states: Tensor, head: Tensor) -> Tensor:
    """[n, H] and [V, H] of any type -> [n, V] that are not rounded to it."""
    if states.dtype == torch.float32:
        return linear(states, head)
    if states.is_cpu:
        return linear(states.float(), head.float())
    return torch.mm(states, head.T, out_dtype=torch.float32)


class FullScores(torch.autograd.Function):
    """`full_scores`, which PyTorch does not differentiate where types differ."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor) -> Tensor:
        ctx.save_for_backward(states, head)
        return full_scores(states, head)

    @staticmethod
    def backward(ctx: Any, by_scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
        states, head = ctx.saved_tensors
        for_states, for_head = ctx.needs_input_grad
        by_scores = by_scores.to(states.dtype)
        return (
            by_scores @ head if for_states else None,
            by_scores.T @ states if for_head else None,
        )
