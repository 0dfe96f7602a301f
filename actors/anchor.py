"""AnchorScorer: the frozen bias model, asked how likely it finds the policy's completions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from videothinker.config.kl import AnchorView
from videothinker.config.settings import Device
from videothinker.model.adapters import take_in
from videothinker.model.checkpoint import base_of, is_adapter
from videothinker.model.families.known import shape_of
from videothinker.model.policy import Policy, Voice, load_model, opinion
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
        hold nothing. Adapters of one base share it, and with it.
        """
        with self.doing(f"loading {' and '.join(map(str, models)) or 'nothing'}"):
            self._voices: list[Voice] = []  # or old and new weights lie beside each other
            let_go(self._device)
            bases = {base: Policy(self._frozen(base)) for base in map(base_of, models)}
            for model in models:
                policy = bases[base_of(model)]
                name = str(len(self._voices)) if is_adapter(model) else None
                if name is not None:
                    take_in(policy.model, name, model)
                voice = Voice(policy=policy, shape=shape_of(model), adapter=name)
                self._voices.append(voice)

    def _frozen(self, model: Path) -> Any:
        return load_model(model, self._dtype).to(self._device).eval().requires_grad_(False)

    def logprobs(
        self,
        group: RolloutGroup,
        prompt: Prompt,
        with_hidden: bool = False,
        view: AnchorView = "video",
    ) -> AnchorScores:
        """Per completion its token log-probs, and its final hidden states if asked for; the anchor
        sees what a view leaves of the prompt."""
        asked = self._voices, group, prompt, self._temperature
        with self.doing(f"scoring {group.question.id}"):
            return opinion(*asked, with_hidden=with_hidden, view=view)
