"""Runs inside vLLM's worker, in the place of its own n-gram proposer: what is to be checked next.

step n gives tokens ---> Drafter guesses more ---> step n + 1 computes all of them at once
                                                   and vLLM keeps what it would have sampled
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.drafting.memory import CONTEXT, Memory
from actors.drafting.mend import mend_temperatures
from videothinker.model.families.known import family_in
from videothinker.model.shape import DECODED_AT_ONCE
from videothinker.process import metrics

FORBIDDEN = -100.0
"""What vLLM's own `logit_bias`, which it refuses beside drafts, would add at least."""


class Drafter:
    """What vLLM asks of a `custom_class`, and a memory that the engine feeds."""

    def __init__(self, vllm_config: Any) -> None:
        self._drafts = vllm_config.speculative_config.num_speculative_tokens
        self._room = vllm_config.model_config.max_model_len
        self._forbidden = list(family_in(vllm_config.model_config.hf_config).forbidden)
        self.memory = Memory()

    def load_model(self, model: Any) -> None:
        """Called with the engine's own: of drafts it forbids what `logit_bias` forbids else."""
        compute = model.compute_logits

        def allowed(*given: Any, **named: Any) -> Any:
            logits = compute(*given, **named)
            logits[:, self._forbidden] += FORBIDDEN
            return logits

        model.compute_logits = allowed

    def propose(
        self,
        sampled: Sequence[Sequence[int]],
        lengths: Any,
        tokens: Any,
        slot_mappings: Any = None,
    ) -> list[list[int]]:
        """For each request, after what was just sampled of it, what may come next.

        They have at most as many rows of logits as those of a full step without drafts, also where
        each is laid out as the longest: an engine that is full guesses nothing.
        """
        metrics.ACCEPTED_TOKENS.inc(sum(len(new) - 1 for new in sampled if new))
        most = min(self._drafts, DECODED_AT_ONCE // max(1, len(sampled)) - 1)
        drafts = [
            self._after(tokens[row], int(lengths[row]), most) if new else []
            for row, new in enumerate(sampled)
        ]
        metrics.DRAFTED_TOKENS.inc(sum(map(len, drafts)))
        return drafts

    def _after(self, tokens: Any, length: int, most: int) -> list[int]:
        """The last of all is sampled by itself, so that there is room for it."""
        known = tokens[max(0, length - CONTEXT) : length].tolist()
        return self.memory.guess(known, min(most, self._room - length - 1))


def drafting_options(drafts: int) -> dict[str, Any]:
    """What vLLM is told beside the options of any engine."""
    if not drafts:
        return {}
    drafter = f"{Drafter.__module__}.{Drafter.__qualname__}"
    asked = {"method": "custom_class", "model": drafter, "num_speculative_tokens": drafts}
    return {"speculative_config": asked}


def begin_drafting(worker: Any) -> Memory:
    """What the engine, in whose process this worker is, is to feed."""
    mend_temperatures(worker.device)
    check_drafts_alone(worker.model_runner)
    memory: Memory = worker.model_runner.drafter.memory
    return memory


def check_drafts_alone(runner: Any) -> None:
    """Have a step without any draft sampled as it is in an engine without drafts: vLLM would make
    three copies of its logits to compare nothing.
    """
    sample = runner._sample

    def sampled(logits: Any, drafted: Any) -> Any:
        return sample(logits, drafted if drafted is not None and drafted.max_spec_len else None)

    runner._sample = sampled
