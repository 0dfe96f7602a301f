"""AnchorScorer: the frozen bias model, asked how likely it finds the policy's completions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from videothinker.config.settings import Device
from videothinker.model.families.known import shape_of
from videothinker.model.flops import scoring_flops
from videothinker.model.policy import Policy, load_model
from videothinker.process import metrics
from videothinker.process.device import let_go, settle
from videothinker.process.pulse import Pulse
from videothinker.types import AnchorScores, Prompt, RolloutGroup


class AnchorScorer(Pulse):
    """Holds no gradient, no optimizer: only weights, and the learner's own forward pass."""

    role = "anchor"

    def __init__(self, dtype: str, temperature: float, device: Device) -> None:
        self._dtype = dtype
        self._temperature = temperature
        self._device = device
        settle(device)

    def load(self, *models: Path) -> None:
        """Take a checkpoint as the anchor, and one that it is compared with, if any; without one
        hold nothing.
        """
        with self.doing(f"loading {' and '.join(map(str, models)) or 'nothing'}"):
            self._policies: list[Policy] = []  # or old and new weights lie beside each other
            let_go(self._device)
            self._policies = [Policy(self._frozen(model)) for model in models]
            self._shapes = [shape_of(model) for model in models]

    def _frozen(self, model: Path) -> Any:
        return load_model(model, self._dtype).to(self._device).eval().requires_grad_(False)

    def logprobs(
        self, group: RolloutGroup, prompt: Prompt, with_hidden: bool = False
    ) -> AnchorScores:
        """Per completion its token log-probs, and its final hidden states if asked for."""
        started = time.monotonic()
        token_ids = [completion.token_ids for completion in group.completions]
        lengths = [len(tokens) for tokens in token_ids]

        def cut(logp: torch.Tensor) -> tuple[np.ndarray, ...]:
            rows = zip(logp.cpu().numpy(), lengths, strict=True)
            return tuple(values[:length].copy() for values, length in rows)

        anchor, *compared = self._policies
        with self.doing(f"scoring {group.question.id}"), torch.inference_mode():
            row = anchor.row([(prompt, token_ids)])
            hidden = anchor.hidden(row)
            logp, _ = anchor.scores(row, hidden, self._temperature)
            initial = [other([(prompt, token_ids)], self._temperature)[0] for other in compared]
        metrics.ANCHOR_GROUPS.inc()
        metrics.ANCHOR_TOKENS.inc(sum(lengths))
        metrics.FLOPS.inc(sum(scoring_flops(shape, group) for shape in self._shapes))
        states = hidden.float().cpu().split(lengths) if with_hidden else None
        return AnchorScores(
            logprobs=cut(logp),
            hidden=None if states is None else tuple(part.numpy() for part in states),
            initial_logprobs=cut(initial[0]) if initial else None,
            seconds=time.monotonic() - started,
        )
