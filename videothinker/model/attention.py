"""Attention over [prompt][completion 1]...[completion G] that computes no pair nobody sees.

A mask over the whole row gives the same numbers, but its cost grows with the square of the group:
at eight completions of 150 tokens after a prompt of 1,050, about half of the pairs are of two
completions, which do not see each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NAME = "videothinker_shared_prefix"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where a row's prompt ends and its completions begin; passed in place of a mask."""

    prompt: int
    completions: tuple[int, ...]
    """Tokens of each, in order."""
    visible: Tensor
    """[T, prompt + T] bool: what each token of the longest completion sees of prompt and itself."""

    @classmethod
    def of(cls, prompt: int, completions: tuple[int, ...], device: torch.device) -> Layout:
        """The layout of a row of these lengths."""
        longest = max(completions)
        everything = torch.ones(longest, prompt + longest, dtype=torch.bool, device=device)
        return cls(prompt=prompt, completions=completions, visible=everything.tril(prompt))


def share_prefix(model: Any) -> None:
    """Let a Qwen2.5-VL take a `Layout` as its attention mask; any other mask works as before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.config.text_config._attn_implementation = NAME


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention function: [1, heads, row, D] each -> [1, row, heads, D].

    The prompt attends to itself, then every completion to the prompt and itself.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward as sdpa

    if not isinstance(attention_mask, Layout):
        output: Tensor = sdpa(module, query, key, value, attention_mask, **options)[0]
        return output, None
    prompt, lengths = attention_mask.prompt, [attention_mask.prompt, *attention_mask.completions]
    first, *queries = query.split(lengths, dim=2)
    first_key, *keys = key.split(lengths, dim=2)
    first_value, *values = value.split(lengths, dim=2)
    outputs = [sdpa(module, first, first_key, first_value, None, **options)[0]]
    for own_query, own_key, own_value in zip(queries, keys, values, strict=True):
        length = own_query.shape[2]
        seen_keys = torch.cat([first_key, own_key], dim=2)
        seen_values = torch.cat([first_value, own_value], dim=2)
        visible = attention_mask.visible[:length, : prompt + length]
        outputs.append(sdpa(module, own_query, seen_keys, seen_values, visible, **options)[0])
    return torch.cat(outputs, dim=1), None
