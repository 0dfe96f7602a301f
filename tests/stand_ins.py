"""A whole run whose engines live in the driver's process: only their time is pretended.

Everything of the driver is real: `Session`, `Supply`, the pools, their clients, and `Process`,
which meets an object that looks like an actor's handle.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import builders
import numpy as np
from builders import completion

from cluster.loop.ledger import Ledger
from cluster.loop.lineage import Lineage
from cluster.loop.session import Session
from cluster.loop.states import States
from cluster.train import train_steps
from cluster.workers.background import Background
from cluster.workers.fleet import Anchor, Fleet, Loader, Rollouts
from cluster.workers.learner import Learner
from cluster.workers.occupancy import observe
from cluster.workers.pool import Notice, Pool
from cluster.workers.process import Process
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig
from videothinker.data.questions import write_questions
from videothinker.method.paying import Rewards
from videothinker.mini import SHIPPED_BASE
from videothinker.run.directory import RunDirectory
from videothinker.types import (
    AnchorScores,
    LearnerReport,
    Question,
    RolloutGroup,
    SignOfLife,
)

PROMPT_TOKENS = 1_052
PART_BYTES = 4_000_000
STATS = {
    "loss": 0.0,
    "kl": 0.01,
    "entropy": 1.0,
    "grad_norm": 1.0,
    "logprob_gap": 0.0,
    "learning_rate": 1e-6,
}


class Reference(list[Any]):
    """Stands for a prompt in the object store, which is there for as long as somebody has one; it
    is what the method that made the prompt was asked."""


class Method:
    """`handle.method`, as Ray spells the ways of calling one."""

    def __init__(self, function: Callable[..., Any], returns: int | str = 1) -> None:
        self._function = function
        self._returns = returns

    def options(self, num_returns: int | str = 1, **_: Any) -> Method:
        return Method(self._function, num_returns)

    def remote(self, *arguments: Any) -> Any:
        """An awaitable; a pair of one and a reference; or an iterator over awaitables."""
        answer = self._function(*arguments)
        if self._returns == "streaming":
            return _ready(answer)
        return (answer, Reference(arguments)) if self._returns == 2 else answer


async def _ready(items: AsyncIterator[Any]) -> AsyncIterator[asyncio.Future[Any]]:
    async for item in items:
        future = asyncio.get_running_loop().create_future()
        future.set_result(item)
        yield future


class Here(Process):
    """A process that is an object of this one."""

    def __init__(self, name: str, engine: Any) -> None:
        super().__init__(name, Handle(engine))

    def end(self) -> None:
        """There is nothing to kill."""


class Handle:
    """What Ray returns for an actor."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self._engine, name))


class Pacing:
    """Lets so many seconds pass for each piece of work.

    Up to `credit` seconds of what it was late or idle are made up for: a rate that others can keep
    up with shows as that rate, whatever timers and queues add to a single piece.
    """

    def __init__(self, seconds: float, credit: float = 0.0) -> None:
        self.seconds = seconds
        self._credit = credit
        self._due = 0.0

    async def work(self) -> None:
        now = time.monotonic()
        self._due = max(self._due, now - self._credit) + self.seconds
        await asyncio.sleep(self._due - now)


class Engine:
    """Base of the pretended engines."""

    doing = "pretending"
    usage = builders.usage()

    async def pulse(self) -> SignOfLife:
        return SignOfLife(doing=self.doing, usage=self.usage)


class PromptMaker(Engine):
    """Every prompt at once."""

    async def prepare(self, *_: Any) -> tuple[None, dict[str, int], int]:
        return None, {"decoded": 1}, 1


class Sampler(Engine):
    """One group after the other."""

    def __init__(self, name: str, pacing: Pacing) -> None:
        self._name = name
        self._pacing = pacing

    async def load(self, version: int, *_: Any) -> int:
        return version

    async def generate(
        self, version: int, samples: int, temperature: float, seeds: Any, *prompts: Any
    ) -> AsyncIterator[tuple[int, RolloutGroup]]:
        for index, (question, *_) in enumerate(prompts):
            await self._pacing.work()
            yield index, group(question, version, samples, self._name)


class Scorer(Engine):
    """One opinion after the other."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing

    async def load(self, *_: Any) -> None:
        pass

    async def logprobs(self, group: RolloutGroup, *_: Any) -> AnchorScores:
        await self._pacing.work()
        return AnchorScores(logprobs=tuple(c.logprobs - 1 for c in group.completions))


class Rank(Engine):
    """A learner's rank whose step takes so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def meeting_point(self) -> tuple[str, int]:
        return "here", 0

    async def connect(self, *_: Any) -> None:
        pass

    async def start_stage(self, *_: Any) -> list[int]:
        return [PART_BYTES]

    async def gather(self, _step: int, *given: Any) -> None:
        await asyncio.sleep(self._seconds * part_of_step(given))

    async def step(self, step: int, *given: Any) -> LearnerReport:
        await asyncio.sleep(self._seconds * part_of_step(given))
        return LearnerReport(step=step, stats=STATS, seconds=self._seconds)

    async def publish(self, version: int, _: int) -> int:
        return version


def part_of_step(given: tuple[Any, ...]) -> float:
    """By the weights of a rank's share."""
    shares = given[1] if given else []
    return sum(weight for share in shares for _, weight in share) if shares else 1.0


LENGTHS = itertools.cycle((150, 131, 166, 144, 159, 138, 172, 140))
TEXTS = ("<think>" + "so " * 140 + "</think>\n<answer>A</answer>", "so " * 140)
RANDOM = np.random.default_rng(0)
TOKENS = RANDOM.integers(150_000, size=1_000_000)
LOGPROBS = -RANDOM.random(1_000_000, dtype=np.float32)
PLACES = itertools.cycle(range(0, len(TOKENS) - 200, 197))


def group(question: Question, version: int, samples: int, worker: str) -> RolloutGroup:
    """Completions of the paper's length, in memory of their own."""
    parts = [(next(PLACES), next(LENGTHS)) for _ in range(samples)]
    completions = [
        completion(
            TEXTS[place % 2],
            TOKENS[start : start + length].copy(),
            logprobs=LOGPROBS[start : start + length],
            version=version,
        )
        for place, (start, length) in enumerate(parts)
    ]
    return builders.group(*completions, about=question, worker=worker, prompt_tokens=PROMPT_TOKENS)


def questions(count: int) -> list[Question]:
    """So many, with CLEVRER's kind of text, one video for every fourteen."""
    return [
        Question(
            id=f"q{number}",
            video=f"video_{number // 14:05}.mp4",
            text="What will happen without the red cube? " * 3,
            options=(("A", "The sphere falls."), ("B", "Nothing does.")),
            answer="A",
            category=("observational", "inferential")[number % 2],
        )
        for number in range(count)
    ]


class Stage:
    """The first stage of a configuration with pretended engines; a context that ends them.

    The seconds are a group's on one rollout worker, a group's on one scorer, and a step's;
    `engines` are others than usual, by role.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        sampling: float = 0.0,
        scoring: float = 0.0,
        learning: float = 0.0,
        credit: float = 0.0,
        **engines: Callable[[str], Engine],
    ) -> None:
        model = config.model.path
        model.mkdir(parents=True, exist_ok=True)
        (model / "model.safetensors").touch()
        shutil.copy(SHIPPED_BASE / "config.json", model)
        write_questions(config.stages[0].questions, questions(1_000))
        self.config = config
        self.notices: list[Notice] = []
        self.rewards = Rewards(config.rewards)
        self.background = Background()
        faults = config.faults
        pools: dict[str, tuple[Callable[[str], Engine], int]] = {
            "loader": (lambda _: PromptMaker(), 1),
            "rollout": (
                lambda name: Sampler(name, Pacing(sampling, credit)),
                config.rollout.workers,
            ),
            "anchor": (lambda _: Scorer(Pacing(scoring, credit)), config.cluster.scorers),
        }
        self.pools = {
            role: self._pool(role, engines.get(role, usual), count)
            for role, (usual, count) in pools.items()
        }
        learner = Learner(
            self.background,
            _starting(engines.get("learner", lambda _: Rank(learning))),
            config.learner.ranks,
            faults,
            self.notices.append,
        )
        self.fleet = Fleet(
            background=self.background,
            loader=Loader([self.pools["loader"]], faults),
            rollouts=Rollouts(self.background, self.pools["rollout"], faults, config.rollout.sleep),
            anchor=Anchor(self.background, self.pools["anchor"], faults),
            learner=learner,
            require_room=lambda rollouts, scorers: None,
            spilled_bytes=lambda: 0,
        )
        self.background.start(observe(self.fleet))

    def train(self, progress: Callable[..., None]) -> RunDirectory:
        """Every step; `progress` is told after each."""
        run = RunDirectory.create(self.config.out, to_yaml(self.config))
        train_steps(self.session(run), self.config.stages[0], progress)  # type: ignore[arg-type]
        return run

    def session(self, run: RunDirectory) -> Session:
        """Of a run that may be under way."""
        return Session(
            config=self.config,
            fleet=self.fleet,
            run=run,
            lineage=Lineage(run, self.config),
            ledger=Ledger(run, 0.5),
            rewards=self.rewards,
            states=States(run),
        )

    def loop_thread(self) -> int:
        """The thread on which the driver waits for its processes."""
        return self.background.call(threading.get_ident)

    def close(self) -> None:
        """End everybody."""

        async def everybody() -> None:
            await asyncio.gather(*[pool.close() for pool in self.pools.values()])

        self.rewards.close()
        self.background.run(everybody())
        self.fleet.learner.close()
        self.background.close()

    def _pool(self, role: str, engine: Callable[[str], Engine], count: int) -> Pool:
        pool = Pool(role, _starting(engine), self.config.faults, self.notices.append)
        self.background.call(pool.resize, count)
        return pool


def _starting(engine: Callable[[str], Engine]) -> Callable[[str], Awaitable[Process]]:
    async def start(name: str) -> Process:
        return Here(name, engine(name))

    return start
