"""AnchorScorer: the frozen bias model, asked how likely it finds the policy's completions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from videothinker.config import Device
from videothinker.metrics import ANCHOR_GROUPS, LOOPBACK, serve
from videothinker.model.policy import Policy, load_model
from videothinker.pulse import Pulse
from videothinker.types import AnchorScores, Prompt, RolloutGroup


class AnchorScorer(Pulse):
    """Holds no gradient, no optimizer: only weights, and the learner's own forward pass."""

    def __init__(self, dtype: str, temperature: float, device: Device) -> None:
        self._dtype = dtype
        self._temperature = temperature
        self._device = device

    def serve_metrics(self, host: str = LOOPBACK) -> tuple[str, int]:
        """Start this process's Prometheus endpoint; returns where it is found."""
        return serve("anchor", host, self._device)

    def load(self, model: Path) -> None:
        """Take a checkpoint as the anchor from now on."""
        with self.doing(f"loading {model}"):
            self._policy = Policy(self._frozen(model))

    def _frozen(self, model: Path) -> Any:
        return load_model(model, self._dtype).to(self._device).eval().requires_grad_(False)

    def logprobs(
        self, group: RolloutGroup, prompt: Prompt, with_hidden: bool = False
    ) -> AnchorScores:
        """Per completion its token log-probs, and its final hidden states if asked for."""
        token_ids = [completion.token_ids for completion in group.completions]
        with self.doing(f"scoring {group.question.id}"), torch.inference_mode():
            row = self._policy.row([(prompt, token_ids)])
            hidden = self._policy.hidden(row)
            logp, _ = self._policy.scores(row, hidden, self._temperature)
        ANCHOR_GROUPS.inc()
        lengths = [len(tokens) for tokens in token_ids]
        rows = zip(logp.cpu().numpy(), lengths, strict=True)
        states = hidden.float().cpu().split(lengths) if with_hidden else None
        return AnchorScores(
            logprobs=tuple(values[:length].copy() for values, length in rows),
            hidden=None if states is None else tuple(part.numpy() for part in states),
        )
