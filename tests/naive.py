"""A group the plain way: every completion in a row of its own, after its own prompt and pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from videothinker.model.families.known import family_in
from videothinker.types import Prompt


def naive_logprobs(
    model: Any, prompt: Prompt, completions: Sequence[np.ndarray], temperature: float
) -> Tensor:
    """Token log-probs [G, T] of a Qwen2.5-VL as transformers runs it; whatever beyond the ends.

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
    positions = torch.from_numpy(np.concatenate([prompt.positions, counted], axis=1))
    group = len(completions)
    logits = model(
        input_ids=pad_sequence(rows, batch_first=True),
        attention_mask=pad_sequence([torch.ones_like(row) for row in rows], batch_first=True),
        position_ids=positions[:, None].expand(-1, group, -1),
        pixel_values_videos=torch.from_numpy(prompt.pixel_values).repeat(group, 1),
        video_grid_thw=torch.tensor([prompt.shown[0].grid] * group),
        use_cache=False,
        logits_to_keep=longest + 1,
    ).logits[:, :-1]
    logits = logits.float() / temperature
    logits = logits.index_fill(2, torch.tensor(family_in(model.config).forbidden), -torch.inf)
    chosen = pad_sequence([torch.from_numpy(tokens) for tokens in completions], batch_first=True)
    return logits.log_softmax(2).gather(2, chosen[:, :, None]).squeeze(2)
