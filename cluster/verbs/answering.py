"""A model that answers questions: one or more engines, and the loaders that prepare for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from cluster.start.launch import hiring, ray_running
from cluster.workers.fleet import Loader, Rollouts
from cluster.workers.work import chunks, units
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    Device,
    FaultsConfig,
    RolloutConfig,
    VideoConfig,
)
from videothinker.model.checkpoint import Budget
from videothinker.types import Question
from videothinker.video.views import View

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

    def __init__(self, loader: Loader, rollouts: Rollouts, batch: int, workers: int) -> None:
        self._loader = loader
        self._rollouts = rollouts
        self._batch = batch
        self._workers = workers

    def answer(
        self,
        questions: Sequence[Question],
        wording: Callable[[Question], str],
        view: View = "video",
    ) -> Iterator[Answered]:
        """Every question once; the next ones are prepared while these are answered."""
        loader = self._loader.asking(wording, view)
        batches = chunks(questions, self._batch)
        coming = loader.begin_all(batches[0]) if batches else None
        for number, _ in enumerate(batches, start=1):
            assert coming is not None
            prepared = coming.result()
            coming = loader.begin_all(batches[number]) if number < len(batches) else None
            for item in prepared:
                if item.failure is not None:
                    yield Answered(
                        question=item.question, completion="", failure=item.failure.reason
                    )
            exam = units(
                prepared,
                [0] * len(prepared),  # of no effect: the most likely completion is taken
                samples=1,
                temperature=0.0,
                together=max(1, -(-len(prepared) // self._workers)),
            )
            for item, group in self._rollouts.generate(exam):
                if isinstance(group, str):
                    yield Answered(question=item.question, completion="", failure=group)
                else:
                    text = group.completions[0].text
                    yield Answered(question=item.question, completion=text, failure=None)


@contextmanager
def answering(model: Path, videos: Path, budget: Budget, workers: int = 1) -> Iterator[Answerer]:
    """A private Ray with a model on it, for as long as the block runs."""
    device: Device = "cuda" if torch.cuda.is_available() else "cpu"
    data, faults = DataConfig(videos=videos), FaultsConfig()
    rollout = RolloutConfig(workers=workers, max_model_len=budget.max_model_len)
    with ray_running(ClusterConfig(device=device)), hiring(faults, device) as crew:
        loader = crew.loader(model, data, budget)
        rollouts = crew.rollouts(model, budget.dtype, rollout, budget.max_tokens, workers)
        yield Answerer(loader, rollouts, batch_size(budget.video), workers)


def batch_size(video: VideoConfig) -> int:
    """Questions answered together, as many again are prepared meanwhile."""
    largest = min(video.total_pixels, video.max_frames * video.max_pixels) * 3 * 4  # float32 RGB
    return int(min(LARGEST_BATCH, max(1, PREPARED_BYTES // (2 * largest))))
