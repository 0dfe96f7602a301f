"""AnchorScorer: the frozen bias model, asked how likely it finds the policy's completions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from videothinker.config import Device
from videothinker.metrics import serve
from videothinker.model.policy import Policy, load_model
from videothinker.types import Prompt, RolloutGroup


class AnchorScorer:
    """Holds no gradient, no optimizer: only weights, and the learner's own forward pass."""

    def __init__(self, dtype: str, temperature: float, device: Device) -> None:
        self._dtype = dtype
        self._temperature = temperature
        self._device = device

    def serve_metrics(self) -> int:
        """Start this process's Prometheus endpoint; returns its port."""
        return serve()

    def load(self, model: Path) -> None:
        """Take a checkpoint as the anchor from now on."""
        frozen = load_model(model, self._dtype).to(self._device).eval().requires_grad_(False)
        self._policy = Policy(frozen)

    def logprobs(self, group: RolloutGroup, prompt: Prompt) -> tuple[np.ndarray, ...]:
        """Per completion its token log-probs [T]."""
        token_ids = [completion.token_ids for completion in group.completions]
        with torch.inference_mode():
            logp, _ = self._policy(prompt, token_ids, self._temperature)
        rows = logp.cpu().numpy()
        return tuple(row[: len(tokens)].copy() for row, tokens in zip(rows, token_ids, strict=True))
