"""Clients of the actors: what the training loop talks to. They hold references, never pixels.

Every wait here has a limit and names the role and the call that did not come back.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from learner.actor import Assignment
from videothinker.data.views import View
from videothinker.errors import VideoThinkerError
from videothinker.model_card import ModelLineage
from videothinker.prompts import training_text
from videothinker.types import INITIAL_VERSION, LearnerReport, Question, RolloutGroup, ScoredGroup

CALL_LIMIT_SECONDS = 1800.0
"""Longest that any single call to an actor may take."""


def fetch(reference: Any, what: str) -> Any:
    """The result of an actor call, or an error that says whose call it was."""
    try:
        return ray.get(reference, timeout=CALL_LIMIT_SECONDS)
    except RayTaskError as error:
        cause = error.cause
        raise (cause if isinstance(cause, VideoThinkerError) else error) from None
    except RayActorError as error:
        raise VideoThinkerError(
            f"{what}: the process died ({last_line(error)}). "
            "Go on with `videothinker train --resume RUN`"
        ) from error
    except GetTimeoutError as error:
        raise VideoThinkerError(
            f"{what}: no answer within {CALL_LIMIT_SECONDS:.0f} s. Look at the process, then go on "
            "with `videothinker train --resume RUN`"
        ) from error


def last_line(error: Exception) -> str:
    """Where Ray puts the reason: it quotes the traceback of a process that never came up."""
    return [line for line in str(error).splitlines() if line.strip()][-1].strip()[:300]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A question whose prompt lies in the object store, or the reason why not."""

    question: Question
    prompt: Any
    """Reference to the Prompt; it goes from actor to actor and is never fetched here."""
    failure: str | None


class Loader:
    """Turns questions into prompts, ahead of time where it is told what comes next."""

    def __init__(
        self,
        actors: Sequence[Any],
        wording: Callable[[Question], str] = training_text,
        view: View = "video",
    ) -> None:
        self._actors = actors
        self._wording = wording
        self._view = view
        self._submitted: dict[Question, tuple[Any, Any]] = {}

    def prefetch(self, questions: Sequence[Question]) -> None:
        """Start on questions that will be asked for soon."""
        for question in questions:
            if question not in self._submitted:
                # all questions about a video to one process, so that it is decoded once
                actor = self._actors[zlib.crc32(question.video.encode()) % len(self._actors)]
                self._submitted[question] = tuple(
                    actor.prepare.options(num_returns=2).remote(
                        question, self._wording(question), self._view
                    )
                )

    def prepare(self, questions: Sequence[Question]) -> list[Prepared]:
        """Wait for the prompts of these questions."""
        self.prefetch(questions)
        submitted = [self._submitted[question] for question in questions]
        for question in set(questions):
            del self._submitted[question]
        failures = fetch([failure for failure, _ in submitted], "prompt loader, preparing prompts")
        return [
            Prepared(question=question, prompt=prompt, failure=failure)
            for question, (_, prompt), failure in zip(questions, submitted, failures, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Videos decoded, reused and failed so far, over all processes."""
        total: Counter[str] = Counter()
        for counts in fetch([actor.counts.remote() for actor in self._actors], "prompt loader"):
            total.update(counts)
        return dict(total)


class Rollouts:
    """The rollout workers as one: prompts are dealt out, groups come back as they are finished."""

    def __init__(self, workers: Sequence[Any]) -> None:
        self._workers = workers
        self._version = INITIAL_VERSION

    def load(self, weights: Any, version: int) -> None:
        """Give every worker the new weights; none works before it has confirmed them."""
        held = fetch(
            [worker.load.remote(weights) for worker in self._workers],
            f"rollout workers, loading weights version {version}",
        )
        assert held == [version] * len(self._workers), f"confirmed {held}, published {version}"
        self._version = version

    def generate(
        self, prepared: Sequence[Prepared], seeds: Sequence[int], samples: int, temperature: float
    ) -> Iterator[tuple[RolloutGroup, Prepared]]:
        """Groups in the order they are finished, each with its prompt."""
        count = len(self._workers)
        streams = [
            worker.generate.options(num_returns="streaming").remote(
                self._version,
                samples,
                temperature,
                seeds[offset::count],
                *[item.prompt for item in prepared[offset::count]],
            )
            for offset, worker in enumerate(self._workers[: len(prepared)])
        ]
        return self._collect(streams, prepared, "rollout workers, generating")

    def _collect(
        self, streams: list[Any], prepared: Sequence[Prepared], what: str
    ) -> Iterator[tuple[RolloutGroup, Prepared]]:
        by_question = {item.question.id: item for item in prepared}
        while streams:
            ready, _ = ray.wait(streams, num_returns=1, timeout=CALL_LIMIT_SECONDS)
            if not ready:
                raise VideoThinkerError(f"{what}: no group within {CALL_LIMIT_SECONDS:.0f} s")
            try:
                group = fetch(next(ready[0]), what)
            except StopIteration:
                streams.remove(ready[0])
                continue
            yield group, by_question[group.question.id]


class Anchor:
    """The frozen scorer; silent in stages without a divergence term."""

    def __init__(self, actor: Any | None) -> None:
        self._actor = actor

    def load(self, model: Path) -> None:
        """Freeze a checkpoint as the anchor of what follows."""
        assert self._actor is not None
        fetch(self._actor.load.remote(model), f"anchor scorer, loading {model}")

    def submit(self, group: RolloutGroup, prepared: Prepared) -> Any:
        """Start scoring one group; the reference is fetched when all are under way."""
        assert self._actor is not None
        return self._actor.logprobs.remote(group, prepared.prompt)


class Learner:
    """The learner's ranks as one."""

    def __init__(self, ranks: Sequence[Any]) -> None:
        self._ranks = ranks

    def connect(self) -> None:
        """Let the ranks find each other."""
        host, port = fetch(self._ranks[0].meeting_point.remote(), "learner, meeting point")
        world = len(self._ranks)
        self._everywhere("joining", "connect", lambda rank: (rank, world, host, port))

    def start_stage(self, assignment: Assignment) -> None:
        """Load a stage's initial model."""
        self._everywhere("loading the model", "start_stage", lambda _: (assignment,))

    def step(
        self, step: int, coefficient: float, scored: Sequence[tuple[ScoredGroup, Prepared]]
    ) -> LearnerReport:
        """One update on all groups, with this coefficient of the divergence."""
        shares = split([cost(group.group) for group, _ in scored], len(self._ranks))

        def arguments(rank: int) -> tuple[Any, ...]:
            share = [(scored[index][0], weight) for index, weight in shares[rank]]
            prompts = [scored[index][1].prompt for index, _ in shares[rank]]
            return (step, coefficient, share, *prompts)

        reports: list[LearnerReport] = self._everywhere(f"step {step}", "step", arguments)
        return reports[0]

    def publish(self, version: int) -> Any:
        """Reference to the current weights in the object store."""
        references = [rank.publish.remote(version) for rank in self._ranks]
        fetch(references[1:], f"learner, publishing weights version {version}")
        return references[0]

    def save_model(self, folder: Path, base: Path, lineage: ModelLineage | None = None) -> str:
        """Export the policy; returns its digest."""
        digests: list[str] = self._everywhere(
            "exporting", "save_model", lambda _: (folder, base, lineage)
        )
        return digests[0]

    def save_state(self, folder: Path) -> None:
        """Write what resuming needs."""
        self._everywhere("saving", "save_state", lambda _: (folder,))

    def load_state(self, folder: Path) -> None:
        """Read what `save_state` wrote."""
        self._everywhere("resuming", "load_state", lambda _: (folder,))

    def _everywhere(self, what: str, method: str, arguments: Any) -> Any:
        calls = [
            getattr(actor, method).remote(*arguments(rank))
            for rank, actor in enumerate(self._ranks)
        ]
        return fetch(calls, f"learner, {what}")


def cost(group: RolloutGroup) -> int:
    """What a group costs the learner, in tokens of the language model.

    Prompt tokens count twice: nearly all of them are visual, and the vision tower's work on the
    patches of one is about the language model's work on it.
    """
    return 2 * group.prompt_tokens + sum(len(c.token_ids) for c in group.completions)


def split(costs: Sequence[float], ranks: int) -> list[list[tuple[int, float]]]:
    """Deal group indices out to ranks by cost, each with its weight in the overall mean.

    The most expensive first, each to the rank with the least to do: so ranks take about equally
    long, and at each forward pass too. Ranks must run equally many of those (their collectives wait
    for each other), so a rank that comes short repeats the cheapest group with weight 0.
    """
    longest = -(-len(costs) // ranks)
    dearest_first = sorted(range(len(costs)), key=lambda index: (-costs[index], index))
    shares: list[list[tuple[int, float]]] = [[] for _ in range(ranks)]
    work = [0.0] * ranks
    for index in dearest_first:
        open_ranks = [rank for rank in range(ranks) if len(shares[rank]) < longest]
        rank = min(open_ranks, key=lambda rank: (work[rank], rank))
        shares[rank].append((index, 1 / len(costs)))
        work[rank] += costs[index]
    padding = [(dearest_first[-1], 0.0)]
    return [share + padding * (longest - len(share)) for share in shares]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """Every role of a run."""

    loader: Loader
    rollouts: Rollouts
    anchor: Anchor
    learner: Learner


def publish(fleet: Fleet, version: int) -> None:
    """The learner's weights into every rollout worker."""
    fleet.rollouts.load(fleet.learner.publish(version), version)
