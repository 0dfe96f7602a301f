"""Real Ray: whatever hangs ends within its limit, by name, and the work is done by another.

The unit tests have the same for every call of the learner; here are processes that are stopped, or
sleep, and ranks that wait for each other in a real collective.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from batches import made_up
from stand_ins import group, questions

from cluster.start.launch import actor, ray_running
from cluster.workers.background import Background
from cluster.workers.delivery import Stored
from cluster.workers.fleet import Anchor, Loader, Rollouts
from cluster.workers.learner import Learner
from cluster.workers.pool import Notice, Pool
from cluster.workers.process import Process
from cluster.workers.work import Prepared, Unit
from learner.losses import Assignment
from learner.rank import LearnerRank
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import ClusterConfig, FaultsConfig, VideoConfig
from videothinker.errors import Lost, VideoThinkerError
from videothinker.method.prompts import training_text
from videothinker.model.checkpoint import Budget
from videothinker.model.processing import PromptBuilder
from videothinker.process.pulse import Pulse
from videothinker.types import AnchorScores

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

VERSION = 7
HEARTBEAT = {"heartbeat_seconds": 0.5, "backoff_seconds": 0.1}
STOPPED = FaultsConfig(silent_seconds=4, restarts=1, **HEARTBEAT)
"""Only a missing sign of life ends anything."""
ASLEEP = FaultsConfig(generate_seconds=4, sync_seconds=4, restarts=1, **HEARTBEAT)
"""Only the limit of a call does."""
PATIENT = FaultsConfig(silent_seconds=10, **HEARTBEAT)
"""As the first; a rank that loads its libraries is silent for seconds."""
LIMIT, SLACK = 4.0, 15.0
"""A busy machine may take a while to notice."""


class Trouble(Pulse):
    """Every role at once; what `place` names goes wrong there, as often as there are crumbs."""

    def __init__(self, place: str, crumbs: Path) -> None:
        self._place = place
        self._crumbs = crumbs

    def _at(self, place: str) -> None:
        crumb = next(self._crumbs.iterdir(), None)
        if place != self._place.partition(" ")[0] or crumb is None:
            return
        crumb.unlink()
        time.sleep(1.5)  # until somebody has heard of what it is doing
        if self._place.endswith("stopped"):
            os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(600)

    def load(self, *_: Any) -> int:
        with self.doing("loading"):
            self._at("load")
        return VERSION

    def generate(self, version: int, samples: int, *rest: Any) -> Iterator[Any]:
        with self.doing("sampling"):
            yield 0, group(questions(1)[0], version, samples, "rollout-0")
            self._at("generate")
            yield 1, group(questions(1)[0], version, samples, "rollout-0")

    def logprobs(self, group: Any, *_: Any) -> AnchorScores:
        with self.doing("scoring"):
            self._at("logprobs")
        return AnchorScores(logprobs=())

    def prepare(self, *_: Any) -> Any:
        with self.doing("preparing"):
            self._at("prepare")
        return (None, {}, 24), np.zeros(3)


class Scene:
    """One role with one worker, and what is noticed of it."""

    def __init__(
        self, background: Background, role: str, faults: FaultsConfig, place: str, crumbs: Path
    ) -> None:
        self.background = background
        self.faults = faults
        self.notices: list[Notice] = []

        async def start(name: str) -> Process:
            process = Process(name, actor(Trouble).remote(place, crumbs))
            await process.call("starting", 60, "pulse")
            return process

        self.pool = Pool(role, start, faults, self.notices.append)
        background.call(self.pool.resize, 1)

    def lost(self) -> list[str]:
        return [notice.reason for notice in self.notices if notice.event == "lost"]


@pytest.fixture(scope="module")
def background() -> Iterator[Background]:
    """Its actors find what tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        with ray_running(ClusterConfig(device="cpu")):
            loop = Background()
            yield loop
            loop.close()


@pytest.fixture
def stage(background: Background, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """A scene: role, limits, where it goes wrong, how often."""
    opened: list[Scene] = []

    def stage(role: str, faults: FaultsConfig, place: str, times: int = 1) -> Scene:
        for number in range(times):
            (tmp_path / str(number)).touch()
        opened.append(Scene(background, role, faults, place, tmp_path))
        return opened[-1]

    yield stage
    for scene in opened:
        background.run(scene.pool.close())


def sampled(scene: Scene) -> list[int]:
    """Two prompts' groups; returns those that were delivered, in order."""
    rollouts = Rollouts(scene.background, scene.pool, scene.faults)
    rollouts.load(Stored(version=VERSION, parts=["weights"]))
    asked = [Prepared(question=q, prompt=None, failure=None) for q in questions(2)]
    unit = Unit(prepared=tuple(asked), places=(0, 1), seeds=(1, 2), samples=2, temperature=1.0)
    delivered: list[int] = []
    for index, _ in scene.background.iterate(rollouts.sample(unit)):
        delivered.append(index)
    return delivered


def scored(scene: Scene) -> AnchorScores:
    [question] = questions(1)
    anchor = Anchor(scene.background, scene.pool, scene.faults)
    prepared = Prepared(question=question, prompt=None, failure=None)
    answer = group(question, VERSION, 2, "rollout-0")
    return scene.background.run(anchor.score(answer, prepared, False, (1,)))


def prepared(scene: Scene) -> Prepared:
    loader = Loader([scene.pool], scene.faults)
    return scene.background.run(loader.prepare(questions(1)[0], (1,)))


SILENT = f"no sign of life within {LIMIT:g} s"
LATE = f"no answer within {LIMIT:g} s"
CASES: dict[str, tuple[str, FaultsConfig, Callable[[Scene], Any], str]] = {
    "generate asleep": ("rollout", ASLEEP, sampled, f"sampling with weights version 7: {LATE}"),
    "generate stopped": ("rollout", STOPPED, sampled, f"sampling with weights version 7: {SILENT}"),
    "load asleep": ("rollout", ASLEEP, sampled, f"loading weights version 7: {LATE}"),
    "logprobs stopped": ("anchor", STOPPED, scored, f"scoring q0 of weights version 7: {SILENT}"),
    "prepare stopped": ("loader", STOPPED, prepared, f"preparing q0: {SILENT}"),
}


@pytest.mark.parametrize("place", CASES)
def test_what_hangs_is_named_and_replaced_and_the_work_is_done(
    stage: Callable[..., Scene], place: str
) -> None:
    role, faults, work, reason = CASES[place]
    scene = stage(role, faults, place)
    outcome = work(scene)
    [lost] = scene.lost()
    doing = re.escape(f"{role}-0, {reason}; it was last heard of ")
    assert re.match(doing + "(loading|sampling|scoring|preparing)", lost), lost
    [served] = [notice.seconds for notice in scene.notices if notice.event == "served"]
    assert served is not None
    assert served < SLACK
    assert outcome == [0, 1] if work is sampled else outcome is not None


def test_who_hangs_again_and_again_stops_the_run_with_the_reason(
    stage: Callable[..., Scene],
) -> None:
    scene = stage("rollout", ASLEEP, "load asleep", times=9)
    with pytest.raises(VideoThinkerError, match=r"lost 2 times in a row.*weights version 7: no"):
        sampled(scene)
    assert [notice.seconds for notice in scene.notices if notice.event == "lost"] == [0.1, 0.2]


class StoppableRank(LearnerRank):
    """A real rank that tells where it runs."""

    def pid(self) -> int:
        return os.getpid()


class TwoRanks:
    """The real learner on two ranks, loaded, its weights published."""

    def __init__(self, background: Background, assignment: Assignment) -> None:
        self.pids: dict[str, int] = {}
        self._assignment = assignment
        self.learner = Learner(background, self._start, 2, PATIENT, lambda _: None)

    async def _start(self, name: str) -> Process:
        process = Process(name, actor(StoppableRank).remote("cpu"))
        self.pids[name] = await process.call("starting", 120, "pid")
        return process

    def ready(self) -> Learner:
        self.learner.start_stage(self._assignment)
        self.learner.publish(VERSION)
        return self.learner

    def stop(self, name: str) -> None:
        os.kill(self.pids[name], signal.SIGSTOP)


@pytest.fixture(scope="module")
def two_ranks(
    background: Background, mini_base: Path, mini_video: VideoConfig
) -> Iterator[TwoRanks]:
    ranks = TwoRanks(
        background,
        Assignment(
            model=mini_base,
            dtype="float32",
            learner=LearnerConfig(ranks=2),
            kl=KLConfig(),
            temperature=1.0,
            steps=9,
            budget=Budget(video=mini_video, dtype="float32", max_tokens=16, max_model_len=512),
            logprob_tolerance=100.0,
        ),
    )
    yield ranks
    ranks.learner.close()


@pytest.fixture(scope="module")
def batch(
    background: Background,
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: Any,
    read_here: Any,
) -> list[Any]:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    made = [builder.build(question, training_text(question)) for question in mini_questions[:2]]
    return [
        (scored, Prepared(question=prompt.question, prompt=ray.put(prompt), failure=None))
        for scored, prompt in made_up(made, 1)
    ]


def test_a_stopped_rank_is_named_while_the_other_waits_for_it_in_a_collective(
    two_ranks: TwoRanks, batch: list[Any]
) -> None:
    learner = two_ranks.ready()
    assert learner.step(1, 0.0, batch).step == 1
    two_ranks.stop("learner-1")
    started = time.monotonic()
    with pytest.raises(Lost) as lost:
        learner.step(2, 0.0, batch)
    assert time.monotonic() - started < PATIENT.silent_seconds + SLACK
    assert re.fullmatch(
        r"learner-1, step 2 from weights version 7: no sign of life within 10 s; it was last heard"
        r" of .*; learner-0 meanwhile: step 2, .*",
        str(lost.value),
    )
