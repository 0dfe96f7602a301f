"""Attention over rows of groups, [prompt][completion 1]...[completion G] each.

A mask over the whole row gives the same numbers, but its cost grows with the square of the group:
at eight completions of 150 tokens after a prompt of 1,050, about half of the pairs are of two
completions, which do not see each other. So every completion meets the prompt and itself alone,
unless they are so short that a call for each costs more than the pairs that nobody sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

NAME = "videothinker_shared_prefix"
BLOCK = 96
"""Completions share a call, with a mask, up to so many tokens together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupMask:
    """Where a group's prompt ends and its completions begin, and what each token sees."""

    lengths: tuple[int, ...]
    """Tokens of the prompt, then of each block of completions, in order."""
    visible: tuple[Tensor, ...]
    """Of each block [n, prompt + n] bool: what each of its tokens sees of the prompt and itself."""

    @classmethod
    def of(cls, prompt: int, completions: tuple[int, ...], device: torch.device) -> GroupMask:
        """That of a group of these lengths."""
        blocks = joined(completions)
        return cls(
            lengths=(prompt, *[sum(block) for block in blocks]),
            visible=tuple(seen(prompt, block).to(device) for block in blocks),
        )

    @property
    def tokens(self) -> int:
        """Of the whole group."""
        return sum(self.lengths)


class RowMask(tuple[GroupMask, ...]):
    """Those of a row's groups, one after the other; passed in place of a tensor."""


def joined(completions: tuple[int, ...]) -> list[list[int]]:
    """Lengths of completions in blocks of up to BLOCK tokens, or of one completion."""
    blocks: list[list[int]] = [[]]
    for length in completions:
        if blocks[-1] and sum(blocks[-1]) + length > BLOCK:
            blocks.append([])
        blocks[-1].append(length)
    return blocks


def seen(prompt: int, block: list[int]) -> Tensor:
    """What each token of a block sees of prompt and block: all of the one, and of the other what
    its own completion has so far."""
    owner = torch.repeat_interleave(torch.arange(len(block)), torch.tensor(block))
    own = (owner[:, None] == owner).tril()
    return torch.cat([own.new_ones(len(own), prompt), own], dim=1)


def share_prefix(model: Any) -> None:
    """Let a Qwen2.5-VL take a `RowMask` as its attention mask; any other mask works as before."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.config.text_config._attn_implementation = NAME


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention function: [1, heads, row, D] each -> [1, row, heads, D].

    In each group the prompt attends to itself, then every completion to the prompt and itself.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    sdpa = partial(sdpa_attention_forward, module, **options)
    if not isinstance(attention_mask, RowMask):
        output: Tensor = sdpa(query, key, value, attention_mask)[0]
        return output, None
    lengths = [length for group in attention_mask for length in group.lengths]
    queries, keys, values = (iter(part.split(lengths, dim=2)) for part in (query, key, value))
    outputs = []
    for group in attention_mask:
        prompt, prompt_value = next(keys), next(values)
        outputs.append(sdpa(next(queries), prompt, prompt_value, None)[0])
        for visible in group.visible:
            seen_keys = torch.cat([prompt, next(keys)], dim=2)
            seen_values = torch.cat([prompt_value, next(values)], dim=2)
            outputs.append(sdpa(next(queries), seen_keys, seen_values, visible)[0])
    return torch.cat(outputs, dim=1), None
