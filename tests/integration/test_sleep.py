"""Engines that let go of their memory while the learner works: one alone, then whole runs."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from two_engines import trained, two_engines

from actors.rollout import RolloutWorker
from cluster.start import launch
from cluster.train import run
from cluster.workers.learner import Learner
from learner.rank import LearnerRank
from videothinker.config.loading import to_yaml
from videothinker.config.settings import (
    RolloutConfig,
    RunConfig,
    VideoConfig,
    WeightsConfig,
)
from videothinker.errors import WeightsError
from videothinker.files import read_lines
from videothinker.method.prompts import training_text
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.run.directory import RunDirectory
from videothinker.types import Completion, Question, WeightsPart

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.timeout(900)

INTERRUPTED_AFTER = 3
"""Steps that were made, of four."""
CACHE_MB = 256
"""Of an engine's key-value cache; the tiny model's weights are half of one."""


def anonymous_mb() -> float:
    """What this process holds that is no file's."""
    [held] = re.findall(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(held) / 1024


def changed(policy: Policy, version: int, factor: float) -> list[WeightsPart]:
    """The policy with its weights multiplied, and published."""
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(factor)
    return [as_part(version, [(n, p.detach()) for n, p in policy.model.named_parameters()])]


@pytest.fixture(scope="module")
def worker(mini_base: Path) -> RolloutWorker:
    """In this process, without Ray."""
    size = RolloutConfig(max_model_len=512, cache_gb=CACHE_MB / 1024)
    return RolloutWorker("here", mini_base, "float32", size, 24, "cpu")


def runner_of(worker: RolloutWorker) -> Any:
    core = worker._engine._llm.llm_engine.engine_core.engine_core
    return core.model_executor.driver_worker.worker.model_runner


def test_what_a_layer_keeps_beside_weights_and_cache_is_a_buffer(worker: RolloutWorker) -> None:
    """vLLM's sleep saves buffers, and nothing else; these scales lie on the host everywhere."""
    kept = {
        name
        for layer in runner_of(worker).model.modules()
        for name, held in vars(layer).items()
        if isinstance(held, torch.Tensor)
    }
    assert kept == {"kv_cache", "_k_scale_cpu", "_v_scale_cpu"}


def test_an_engine_that_slept_says_what_one_that_did_not_says_and_nothing_asleep(
    worker: RolloutWorker,
    mini_base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> None:
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    prompts = [builder.build(one, training_text(one)) for one in mini_questions[:2]]
    policy = Policy(load_model(mini_base, "float32"))

    def said(version: int) -> list[Completion]:
        groups = dict(worker.generate(version, 8, 1.0, [0, 1], *prompts))
        return [one for index in (0, 1) for one in groups[index].completions]

    said(0)
    worker.load(1, *changed(policy, 1, 0.9))
    expected = said(1)
    before = anonymous_mb()
    worker.sleep()
    worker.sleep()
    assert anonymous_mb() < before - 0.9 * CACHE_MB
    with pytest.raises(WeightsError, match="it is asleep and holds no weights"):
        said(1)
    rpc: Callable[..., Any] = worker._engine._llm.collective_rpc

    def waking(method: str, args: tuple[Any, ...] = ()) -> Any:
        answers = rpc(method, args=args)
        if args == ("weights",):  # whatever is not loaded anew shows
            for parameter in runner_of(worker).model.parameters():
                parameter.data.fill_(torch.nan)
        return answers

    worker._engine._llm.collective_rpc = waking
    worker.load(2, *changed(policy, 2, 1.0))
    for one, other in zip(expected, said(2), strict=True):
        assert np.array_equal(one.token_ids, other.token_ids)
        assert np.array_equal(one.logprobs, other.logprobs)
    assert before - 16 < anonymous_mb() < before + 16
    worker.sleep()
    worker.load(3, *changed(policy, 3, 1.1))
    found = said(3)
    with torch.no_grad():
        [logp, _] = policy([(prompts[0], [one.token_ids for one in found[:8]])], 1.0)
    for row, one in zip(logp, found[:8], strict=True):
        assert np.abs(row[: len(one.logprobs)].numpy() - one.logprobs).max() < 1e-4


def note(notes: Path, what: str) -> None:
    with notes.open("a") as file:
        file.write(f"{what}\n")


def watched_engine(notes: Path) -> type:
    class Watched(RolloutWorker):
        """Notes when it sleeps and wakes."""

        def sleep(self) -> None:
            before = anonymous_mb()
            super().sleep()
            note(notes, f"asleep {os.getpid()} {before - anonymous_mb():.0f}")

        def receive(self, version: int, route: Any) -> int:
            received = super().receive(version, route)
            note(notes, f"awake {os.getpid()}")
            return received

        def generate(self, version: int, *rest: Any) -> Any:
            note(notes, f"samples {os.getpid()}")
            yield from super().generate(version, *rest)

    return Watched


def watched_rank(notes: Path) -> type:
    class Watched(LearnerRank):
        """Notes its steps; in one of them an engine dies, and in another one it does."""

        def step(self, step: int, *rest: Any) -> Any:
            assert self._task.lends
            note(notes, f"step {step}")
            seen = notes.read_text()
            if seen.count("step ") == 1:
                os.kill(int(re.findall(r"asleep (\d+)", seen)[0]), signal.SIGKILL)
            if seen.count("step ") == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            report = super().step(step, *rest)
            note(notes, f"stepped {step}")
            return report

    return Watched


def test_a_run_whose_engines_sleep_learns_the_same_whoever_dies_meanwhile(
    by_host: dict[str, Any], run_config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine dies asleep, then the learner, then the driver; the run is resumed. Its weights go
    straight from the learner, those of the other one by way of the host."""
    assert len(set(by_host["digests"])) == 3

    notes = tmp_path / "notes"
    notes.touch()
    monkeypatch.setattr(launch, "RolloutWorker", watched_engine(notes))
    monkeypatch.setattr(launch, "LearnerRank", watched_rank(notes))
    learner = run_config.learner.model_copy(update={"save_every": 1})
    config = two_engines(run_config, tmp_path / "sleeping", sleep=True).model_copy(
        update={"weights": WeightsConfig(path="ipc"), "learner": learner}
    )
    directory = RunDirectory.create(config.out, to_yaml(config))
    usual = Learner.step
    with monkeypatch.context() as patch:

        def interrupted(learner: Learner, step: int, *rest: Any) -> Any:
            if notes.read_text().count("stepped") == INTERRUPTED_AFTER:
                raise KeyboardInterrupt
            return usual(learner, step, *rest)

        patch.setattr(Learner, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(config, directory)
    assert directory.status()["state"] == "interrupted"
    assert trained(config, RunDirectory.open(config.out)) == by_host
    events = read_lines(config.out / "events.jsonl")
    lost = [event["role"] for event in events if event["event"] == "lost"]
    assert sorted(lost) == ["learner", "rollout"]
    require_turns([line.split() for line in notes.read_text().splitlines()])


def require_turns(noted: list[list[str]]) -> None:
    """Whoever samples is awake, whoever is there when the learner works has let go of a cache."""
    states: dict[str, str] = {}
    steps = 0
    for what, who, *freed in noted:
        if what == "step":
            steps += 1
            assert len(states) >= 2
            assert {*states.values()} == {"asleep"}
        elif what == "samples":
            assert states[who] == "awake"
        elif what != "stepped":
            assert all(int(size) > 0.9 * CACHE_MB for size in freed)
            states[who] = what
    assert steps == 5
