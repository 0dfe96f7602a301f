"""A group the plain way: every completion in a row of its own, after its own prompt and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from videothinker.model.families.known import family_in
from videothinker.types import Medium, Prompt

NAMES: dict[Medium, tuple[str, str]] = {
    "picture": ("pixel_values", "image_grid_thw"),
    "video": ("pixel_values_videos", "video_grid_thw"),
}
"""Pixels and grids, as transformers calls them."""


def naive_logprobs(
    model: Any, prompt: Prompt, completions: Sequence[np.ndarray], temperature: float
) -> Tensor:
    """Token log-probs [G, T] of a model as transformers runs it; whatever beyond the ends.

    The padded batch meets the output head on its completions only: the comparison is not to win by
    what a careful user would leave out anyway.
    """
    lengths = [len(completion) for completion in completions]
    rows = [
        torch.from_numpy(np.concatenate([prompt.token_ids, completion]))
        for completion in completions
    ]
    longest = max(lengths)
    counted = np.tile(prompt.next_position + np.arange(longest), (3, 1))
    places = family_in(model.config).positions(prompt.token_ids, prompt.shown)
    positions = torch.from_numpy(np.concatenate([places, counted], axis=1))
    group = len(completions)
    logits = model(
        input_ids=pad_sequence(rows, batch_first=True),
        attention_mask=pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
        position_ids=positions[:, None].expand(-1, group, -1),
        **seen(model, prompt, group),
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits[:, :-1]
    logits = logits.float() / temperature
    logits = logits.index_fill(2, torch.tensor(family_in(model.config).forbidden), -torch.inf)
    chosen = pad_sequence([torch.from_numpy(tokens) for tokens in completions], batch_first=True)
    return logits.log_softmax(2).gather(2, chosen[:, :, None]).squeeze(2)


def seen(model: Any, prompt: Prompt, times: int) -> dict[str, Tensor]:
    """What a prompt shows, so many times: pictures and videos apart."""
    parts = [(one, pixels) for one, pixels, _ in family_in(model.config).apart(prompt)]
    given = {}
    for medium in {one.medium for one, _ in parts}:
        pixels, grids = NAMES[medium]
        of_it = [(one, values) for one, values in parts if one.medium == medium]
        values = torch.from_numpy(np.concatenate([values for _, values in of_it]))
        given[pixels] = values.repeat(times, 1)
        given[grids] = torch.tensor([one.grid for one, _ in of_it] * times)
    return given
