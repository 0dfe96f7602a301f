"""vLLM's check of drafts on a CPU, where it divides by temperatures that were never written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from videothinker.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def mend_temperatures(device: Any) -> None:
    """Have vLLM divide each row of logits by its own request's temperature; InputError where it
    does not do so even then. What is right is left alone.
    """
    from vllm.v1.sample import rejection_sampler

    if _divides_rightly(device):
        return
    rejection_sampler.expand_batch_to_tokens = spread
    if not _divides_rightly(device):
        raise InputError(
            "rollout.drafts: this version of vLLM checks drafts at wrong temperatures, which we"
            " know no remedy for. Set rollout.drafts to 0"
        )


def spread(
    values: Tensor, ends: Tensor, total: int, replace_from: int = 0, replace_to: int = 0
) -> Tensor:
    """Each request's value once for each of its drafted tokens, as vLLM's function of this place.

    On a CPU it hands the result on as a copy in whole numbers, which nobody reads.
    """
    import torch

    if replace_from != replace_to:
        values = values.masked_fill(values == replace_from, replace_to)
    counts = torch.diff(ends, prepend=ends.new_zeros(1))
    return values.repeat_interleave(counts.long(), output_size=total)


def _divides_rightly(device: Any) -> bool:
    """Asked of the function that uses it, so that a mend in a place nobody reads is seen."""
    import torch
    from vllm.v1.sample.rejection_sampler import apply_sampling_constraints

    temperatures = torch.tensor([0.5, 2.0, 0.0], device=device)
    asked: Any = SimpleNamespace(all_greedy=False, temperature=temperatures, top_k=None, top_p=None)
    ends = torch.tensor([1, 3, 4], dtype=torch.int32, device=device)
    logits = torch.ones(4, 2, device=device)
    found = apply_sampling_constraints(logits, ends, asked)[:, 0]
    return bool(found.tolist() == [2.0, 0.5, 0.5, 1.0])
