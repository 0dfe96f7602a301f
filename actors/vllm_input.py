"""A prompt that was decoded and preprocessed elsewhere, in vLLM's own form."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from videothinker.model.families.family import Family
from videothinker.types import Medium, Prompt, Shown

MODALITY: dict[Medium, str] = {"video": "video", "picture": "image"}


def engine_input(prompt: Prompt, family: Family) -> Any:
    """Token ids, pixels, and which tokens stand for them."""
    import torch
    from transformers import BatchFeature
    from vllm.inputs import mm_input, tokens_input
    from vllm.multimodal.inputs import (
        MultiModalFieldConfig,
        MultiModalKwargsItems,
        PlaceholderRange,
    )

    tokens = prompt.token_ids.tolist()
    if not prompt.shown:
        return tokens_input(tokens)
    parts: dict[Medium, list[tuple[Shown, np.ndarray]]] = defaultdict(list)
    places: dict[str, list[PlaceholderRange]] = defaultdict(list)
    digests: dict[str, list[str]] = defaultdict(list)
    for one, pixels, marks in family.apart(prompt):
        parts[one.medium].append((one, pixels))
        start, end = family.span(one, int(marks[0]), int(marks[-1]))
        seen = torch.zeros(end - start, dtype=torch.bool)
        seen[marks - start] = True
        modality = MODALITY[one.medium]
        places[modality].append(PlaceholderRange(offset=start, length=end - start, is_embed=seen))
        digests[modality].append(one.digest)
    features: dict[str, Any] = {}
    fields = {}
    for medium, some in parts.items():
        modality = MODALITY[medium]
        for name, given in family.features(medium, some).items():
            if isinstance(given, list):
                features[name], fields[name] = given, MultiModalFieldConfig.batched(modality)
                continue
            features[name], rows = given
            fields[name] = (
                MultiModalFieldConfig.batched(modality, keep_on_cpu=True)
                if rows is None
                else MultiModalFieldConfig.flat_from_sizes(modality, torch.tensor(rows))
            )
    items = MultiModalKwargsItems.from_hf_inputs(BatchFeature(features), fields)
    return mm_input(tokens, items, dict(digests), dict(places))
