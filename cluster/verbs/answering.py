"""A model that answers questions: one or more engines, and the loaders that prepare for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.loop.asking import Asking, Reply
from cluster.start.launch import Crew, ray_running
from cluster.workers.background import Background
from cluster.workers.fleet import Loader, Rollouts
from videothinker.config.settings import (
    ClusterConfig,
    DataConfig,
    Device,
    FaultsConfig,
    RolloutConfig,
    VideoConfig,
)
from videothinker.errors import InputError
from videothinker.model.checkpoint import Budget, read_budget
from videothinker.model.families.known import shape_of
from videothinker.model.shape import ModelShape
from videothinker.process.gpus import cuda_of_torch, fault
from videothinker.types import Question
from videothinker.video.views import View

PREPARED_BYTES = 4 * 2**30
"""What the prompts that are being answered and prepared may take in the object store."""
AT_ONCE = 64
"""Questions that one engine answers at a time: whenever one is answered, the next one enters."""
LEAST_CACHE_GB = 0.05
BLOCK, SPARE = 32, 64
"""Tokens that an engine's cache is cut into, and those that it keeps to itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answerer:
    """Asks a model; the most likely completion of each question, in the order they are finished."""

    background: Background
    loader: Loader
    rollouts: Rollouts
    at_once: int
    """Questions that one engine answers at a time."""

    def answer(
        self,
        questions: Sequence[Question],
        wording: Callable[[Question], str],
        view: View = "video",
    ) -> Iterator[Reply]:
        """Every question once; the next ones are prepared while these are answered.

        Those of one video follow each other: a loader has its frames and an engine its features.
        """
        asking = Asking(
            loader=self.loader.asking(wording, view),
            rollouts=self.rollouts,
            samples=1,
            together=self.at_once,
            temperatures=[0.0],
            one_by_one=True,
            most_bytes=PREPARED_BYTES,
        )
        seeds = [0] * len(questions)  # of no effect: the most likely completion is taken
        return self.background.iterate(asking.replies(by_video(questions), seeds))


@contextmanager
def answering(
    model: Path, videos: Path, budget: Budget, workers: int = 1, at_once: int = AT_ONCE
) -> Iterator[Answerer]:
    """A private Ray with a model on it, for as long as the block runs, each engine of which is
    asked so many questions at a time."""
    device = device_here()
    data, faults = DataConfig(videos=videos), FaultsConfig()
    rollout = RolloutConfig(
        workers=workers,
        max_model_len=budget.max_model_len,
        units_at_once=at_once,
        cache_gb=cache_gb(shape_of(model), budget, at_once),
    )
    with ray_running(ClusterConfig(device=device)), closing(Crew(faults, device)) as crew:
        yield Answerer(
            background=crew.background,
            loader=crew.loader(model, data, budget),
            rollouts=crew.rollouts(model, budget.dtype, rollout, budget.max_tokens, workers),
            at_once=at_once,
        )


def by_video(questions: Sequence[Question]) -> list[Question]:
    """Those of one video one after the other, in the order of the first of each."""
    places: dict[str, int] = {}
    for question in questions:
        places.setdefault(question.video, len(places))
    return sorted(questions, key=lambda question: places[question.video])


def device_here() -> Device:
    """That of the installed packages; a head node need not have the GPU that its cluster has."""
    device: Device = "cpu" if cuda_of_torch() is None else "cuda"
    in_a_job = os.environ.get("RAY_ADDRESS")
    if not in_a_job and (why_not := fault(device)) is not None:
        raise InputError(why_not)
    return device


def cache_gb(shape: ModelShape, budget: Budget, together: int) -> float:
    """An engine's usual cache, or what so many of the longest answers take, if that is less."""
    tokens = together * (budget.max_model_len + BLOCK) + SPARE
    needed = tokens * shape.cache_bytes(budget.dtype) / 2**30
    return min(RolloutConfig().cache_gb, max(LEAST_CACHE_GB, needed))


def budget_for(model: Path, named: str | None) -> Budget:
    """What the model was trained to see, under the frame budget of a name if one is given."""
    own = read_budget(model)
    video = own.video if named is None else VideoConfig.model_validate(named)
    return own.model_copy(update={"video": video})
