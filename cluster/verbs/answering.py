"""A model that answers questions: one or more engines, and the loaders that prepare for them."""

from __future__ import annotations

import os
import zlib
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
from videothinker.errors import InputError, RayLost
from videothinker.evaluation.protocol import Protocol
from videothinker.method.prompts import Turns
from videothinker.model.checkpoint import Budget, positions_of, read_budget
from videothinker.model.families.known import shape_of
from videothinker.model.shape import ModelShape
from videothinker.process.gpus import cuda_of_torch, fault
from videothinker.types import Question
from videothinker.video.views import View

PREPARED_BYTES = 2**30
"""What the prompts that are being answered and prepared may take in the object store; engines hold
four times as much of those that they answer."""
AT_ONCE = 64
"""Questions that one engine answers at a time: whenever one is answered, the next one enters."""
TEXT_TOKENS = 2048
"""Room for words where another budget than the model's own asks for more room."""
SECONDS_A_FRAME = 2.0
"""That decoding may take, of many."""
MOST_LOADERS = 4
"""Beside each engine, of those that nobody asked for."""
LEAST_CACHE_GB = 0.05
BLOCK, SPARE = 32, 64
"""Tokens that an engine's cache is cut into, and those that it keeps to itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answerer:
    """Asks a model: one completion of each question, in the order they are finished; the most
    likely one unless a temperature is given."""

    background: Background
    loader: Loader
    rollouts: Rollouts
    at_once: int
    """Questions that one engine answers at a time."""

    def answer(
        self,
        questions: Sequence[Question],
        wording: Callable[[Question], str | Turns],
        view: View = "video",
        temperature: float = 0.0,
    ) -> Iterator[Reply]:
        """Every question once; the next ones are prepared while these are answered.

        Those of one video follow each other: a loader has its frames and an engine its features.
        """
        asking = Asking(
            loader=self.loader.asking(wording, view),
            rollouts=self.rollouts,
            samples=1,
            together=self.at_once,
            temperatures=[temperature],
            one_by_one=True,
            most_bytes=PREPARED_BYTES,
        )
        asked = by_video(questions)
        seeds = [zlib.crc32(question.id.encode()) for question in asked]
        return self.background.iterate(asking.replies(asked, seeds))


@contextmanager
def answering(
    model: Path,
    videos: Path,
    budget: Budget,
    workers: int = 1,
    loaders: int = 1,
    at_once: int = AT_ONCE,
) -> Iterator[Answerer]:
    """A private Ray with a model on it, for as long as the block runs, each engine of which is
    asked so many questions at a time."""
    device = device_here()
    data, faults = patient(videos, budget.video)
    data = data.model_copy(update={"loaders": loaders})
    rollout = RolloutConfig(
        workers=workers,
        max_model_len=budget.max_model_len,
        units_at_once=at_once,
        cache_gb=cache_gb(shape_of(model), budget, at_once),
    )
    try:
        with (
            ray_running(ClusterConfig(device=device)) as vigil,
            closing(Crew(faults, device)) as crew,
        ):
            vigil.tell(crew.background.fail)
            yield Answerer(
                background=crew.background,
                loader=crew.loader(model, data, budget),
                rollouts=crew.rollouts(model, budget.dtype, rollout, budget.max_tokens, workers),
                at_once=at_once,
            )
    except RayLost as lost:
        raise RayLost(f"{lost}. The same command asks what is not answered yet") from lost


def loaders_for(workers: int) -> int:
    """As many as keep so many engines busy, if there are cores for them."""
    return min(len(os.sched_getaffinity(0)), MOST_LOADERS * workers)


def patient(videos: Path, video: VideoConfig) -> tuple[DataConfig, FaultsConfig]:
    """The usual limits, longer where many frames are taken: of an hour they lie seconds apart, and
    what is between them is decoded too."""
    data, faults = DataConfig(videos=videos), FaultsConfig()
    decoding = max(data.decode_seconds, SECONDS_A_FRAME * video.max_frames)
    preparing = max(faults.prepare_seconds, 2 * decoding)
    return (
        data.model_copy(update={"decode_seconds": decoding}),
        faults.model_copy(update={"prepare_seconds": preparing}),
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
    if named is None:
        return own
    return with_room(model, own, VideoConfig.model_validate(named), own.max_tokens)


def budget_under(model: Path, protocol: Protocol) -> Budget:
    """The same under a protocol that is settled."""
    assert protocol.max_tokens is not None
    return with_room(model, read_budget(model), protocol.budget, protocol.max_tokens)


def with_room(model: Path, own: Budget, video: VideoConfig, max_tokens: int) -> Budget:
    """A model's budget with another video and length, and room for the longest of both, as far as
    the model has any: what is longer is left out, with its reason."""
    room = own.max_model_len
    if video != own.video or max_tokens > own.max_tokens:
        room = max(room, shape_of(model).tokens(video) + TEXT_TOKENS + max_tokens)
        room = min(room, positions_of(model))
        if max_tokens >= room:
            raise InputError(
                f"{model}: has room for {room} tokens, and is to answer with up to {max_tokens}."
                " Give fewer: --max-tokens"
            )
    changes = {"video": video, "max_tokens": max_tokens, "max_model_len": room}
    return own.model_copy(update=changes)
