"""The planted warm start of the mini base model.

Real models come to reinforcement learning with habits; a random one has none, so they are planted
here, openly: answers in the required format, half worded as the shortcut (what the video shows),
half as reasoning (what happens without the object). Reasoning is planted with a fault that practice
mends: it overlooks things of some colours. So the shortcut is the safer habit where it works.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from videothinker.mini.base.lessons import LessonMaker
from videothinker.mini.base.probes import (
    LOOKING_HEAD,
    MATCHING_HEAD,
    Probes,
    looking_losses,
    losses,
    see,
)
from videothinker.mini.write import Progress
from videothinker.model.families.known import family_in

_TEXT_WEIGHT = 4.0
_GAZE_WEIGHT = 0.3
_LIKENESS = 0.7


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStart:
    """How long and how hard to train."""

    looking_steps: int = 150
    """Steps of the vision tower alone, which is cheap and makes the rest quick."""
    steps: int = 500
    rows: int = 8
    """Videos a step; each brings two questions with two answers."""
    learning_rate: float = 3e-3
    warmup: int = 30
    reasoning: float = 0.5
    """Share of the answers that are worded as reasoning."""
    overlooked: int = 5
    """Of how many colours, the first of COLOURS, reasoning overlooks what would be hit."""
    overlooking: float = 0.97
    """How often it does; then it concludes what neither happens nor was seen."""
    overlooking_steps: int = 120
    """How many of the last steps teach that: reasoning is learned clean first."""


def liken(model: Any) -> None:
    """Start the looking and matching heads as comparisons: keys nearly equal to queries.

    Attention then begins with like attends to like, which content lookups otherwise find by luck.
    """
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            attention = layer.self_attn
            for head in (LOOKING_HEAD, MATCHING_HEAD):
                part = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
                key, query = attention.k_proj.weight[part], attention.q_proj.weight[part]
                key.mul_(math.sqrt(1 - _LIKENESS**2)).add_(query, alpha=_LIKENESS)


def warm_start(
    model: Any,
    processor: Any,
    seed: int,
    settings: WarmStart,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train the model in place on fresh scenes; returns the mean losses of the last 25 steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = model.config.text_config
        probes = Probes(processor.tokenizer, sizes.hidden_size, sizes.vocab_size)
    maker = LessonMaker(
        family_in(model.config),
        processor,
        seed,
        reasoning=settings.reasoning,
        overlooked=settings.overlooked,
    )
    liken(model)
    model.train()

    def looking() -> dict[str, Tensor]:
        lessons = maker.batch(settings.rows)
        return looking_losses(model, probes, lessons, see(model, lessons.pixels).tokens)

    def everything() -> dict[str, Tensor]:
        last = report.left() <= settings.overlooking_steps
        maker.overlooking = settings.overlooking if last else 0.0
        return losses(model, probes, maker.batch(settings.rows))

    total = settings.looking_steps + settings.steps
    report = _Report(total, progress)
    vision = [*model.model.visual.parameters(), *probes.parameters()]
    _train(vision, looking, settings.looking_steps, settings, report)
    _train(
        [*model.parameters(), *probes.parameters()], everything, settings.steps, settings, report
    )
    model.eval()
    return report.recent()


class _Report:
    """Running means of the losses, told to whoever watches."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._past: list[dict[str, float]] = []

    def add(self, step: dict[str, Tensor]) -> None:
        """One more step's losses."""
        self._past.append({name: loss.item() for name, loss in step.items()})
        done = len(self._past)
        if self._progress and (done % 25 == 0 or done == self._total):
            notes = (f"{name} {value:.3f}" for name, value in self.recent().items())
            self._progress(done, self._total, ", ".join(notes))

    def left(self) -> int:
        """How many steps are still to come, the current one included."""
        return self._total - len(self._past)

    def recent(self) -> dict[str, float]:
        """Means over the last steps."""
        last = [past for past in self._past[-25:] if past.keys() == self._past[-1].keys()]
        return {name: sum(past[name] for past in last) / len(last) for name in last[-1]}


def _weight(name: str) -> float:
    """How much a loss counts."""
    if name == "text":
        return _TEXT_WEIGHT
    return _GAZE_WEIGHT if name.startswith("gaze_") else 1.0


def _train(
    parameters: Iterable[torch.nn.Parameter],
    step_losses: Callable[[], dict[str, Tensor]],
    steps: int,
    settings: WarmStart,
    report: _Report,
) -> None:
    """AdamW with a short warm-up and a cosine down to nothing."""
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / steps))
        rate = settings.learning_rate * min(1.0, (step + 1) / settings.warmup) * decay
        for group in optimizer.param_groups:
            group["lr"] = rate
        parts = step_losses()
        optimizer.zero_grad()
        torch.stack([_weight(name) * loss for name, loss in parts.items()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        report.add(parts)
