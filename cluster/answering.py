"""A model that answers questions: one or more engines, and the loaders that prepare for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actors.rollout import RolloutWorker
from cluster.fleet import Loader, Rollouts, fetch
from cluster.launch import actor, ray_running, start_loaders
from videothinker.budget import Budget
from videothinker.config import ClusterConfig, DataConfig, Device, RolloutConfig, VideoConfig
from videothinker.data.views import View
from videothinker.types import Question

PREPARED_BYTES = 4 * 2**30
"""What the prompts that are being answered and prepared may take in the object store."""
LARGEST_BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What became of one question."""

    question: Question
    completion: str
    failure: str | None
    """Why there is no completion."""


class Answerer:
    """Asks a model; the most likely completion of each question, in the order they are finished."""

    def __init__(self, loaders: Sequence[Any], rollouts: Rollouts, batch: int) -> None:
        self._loaders = loaders
        self._rollouts = rollouts
        self._batch = batch

    def answer(
        self,
        questions: Sequence[Question],
        wording: Callable[[Question], str],
        view: View = "video",
    ) -> Iterator[Answered]:
        """Every question once; the next ones are prepared while these are answered."""
        loader = Loader(self._loaders, wording, view)
        for start in range(0, len(questions), self._batch):
            prepared = loader.prepare(questions[start : start + self._batch])
            loader.prefetch(questions[start + self._batch : start + 2 * self._batch])
            for item in prepared:
                if item.failure is not None:
                    yield Answered(question=item.question, completion="", failure=item.failure)
            usable = [item for item in prepared if item.failure is None]
            seeds = [0] * len(usable)  # of no effect: the most likely completion is taken
            for group, item in self._rollouts.generate(usable, seeds, samples=1, temperature=0.0):
                text = group.completions[0].text
                yield Answered(question=item.question, completion=text, failure=None)


@contextmanager
def answering(model: Path, videos: Path, budget: Budget, workers: int = 1) -> Iterator[Answerer]:
    """A private Ray with a model on it, for as long as the block runs."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    with ray_running(ClusterConfig(device=device)):
        loaders = start_loaders(model, DataConfig(videos=videos), budget, device)
        engines = [
            actor(RolloutWorker, device, "rollout").remote(
                f"answering-{index}",
                model,
                budget.dtype,
                RolloutConfig(max_model_len=budget.max_model_len),
                budget.max_tokens,
                device,
            )
            for index in range(workers)
        ]
        fetch([engine.__ray_ready__.remote() for engine in engines], "rollout workers, starting")
        yield Answerer(loaders, Rollouts(engines), batch_size(budget.video))


def batch_size(video: VideoConfig) -> int:
    """Questions answered together, as many again are prepared meanwhile."""
    largest = min(video.total_pixels, video.max_frames * video.max_pixels) * 3 * 4  # float32 RGB
    return int(min(LARGEST_BATCH, max(1, PREPARED_BYTES // (2 * largest))))
