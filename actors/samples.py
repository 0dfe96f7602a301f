"""vLLM's record of a sample as ours, with the weights that each token was sampled under."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from videothinker.method.scoring import answer_start
from videothinker.types import Completion

History = list[tuple[int, dict[int, int]]]
"""The weights versions that a request has seen, each with the tokens that its completions had by
then; a completion that was finished by then is missing."""


def versions_of(length: int, index: int, history: History) -> np.ndarray:
    """[T] int32: under which weights each token of one of a request's completions was sampled."""
    (first, _), *later = history
    versions = np.full(length, first, np.int32)
    for version, tokens in later:
        versions[tokens.get(index, length) :] = version
    return versions


def completion(output: Any, history: History, decode: Callable[[Sequence[int]], str]) -> Completion:
    """vLLM's record of one sample as ours."""
    chosen = [
        step[token].logprob for step, token in zip(output.logprobs, output.token_ids, strict=True)
    ]
    cut_off = output.finish_reason == "length"
    return Completion(
        token_ids=np.asarray(output.token_ids, dtype=np.int64),
        logprobs=np.asarray(chosen, dtype=np.float32),
        text=decode(output.token_ids if cut_off else output.token_ids[:-1]),
        weights_versions=versions_of(len(chosen), output.index, history),
        finish_reason="length" if cut_off else "stop",
        answer_start=answer_start(output.token_ids, decode),
    )
