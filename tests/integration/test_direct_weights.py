"""Weights straight from the learner into engines: whole runs, on a CPU by shared memory and gloo.

Whatever way they go, and whoever dies on it, the run learns the same to the last bit.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from half_a_version import half_a_version
from learner_ranks import Ranks
from two_engines import trained, two_engines

from actors.rollout import RolloutWorker
from cluster.start import launch
from learner.losses import Assignment
from learner.rank import LearnerRank
from videothinker.config.kl import KLConfig
from videothinker.config.learner import LearnerConfig
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RunConfig, VideoConfig, WeightsConfig
from videothinker.files import read_lines
from videothinker.method.prompts import training_text
from videothinker.model.checkpoint import Budget
from videothinker.model.policy import load_model
from videothinker.model.processing import PromptBuilder
from videothinker.model.transfer import Receiver
from videothinker.process.address import LOOPBACK, stay_on
from videothinker.run.directory import RunDirectory
from videothinker.types import Question, Route

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.timeout(900)

SMALL = 2**18
"""Bytes of a part, so that the tiny model has several."""


ATTACKS = ("engine dies", "part damaged", "learner dies", "engine dies without a learner")


def config_of(base: RunConfig, out: Path, path: Any) -> RunConfig:
    """A run whose weights go this way."""
    weights = WeightsConfig(path=path)
    return two_engines(base, out).model_copy(update={"weights": weights})


def once(crumbs: Path, what: str) -> bool:
    """Whether this is still to happen."""
    try:
        (crumbs / what).unlink()
    except FileNotFoundError:
        return False
    return True


def attacked_engine(crumbs: Path) -> type:
    class Attacked(RolloutWorker):
        """Dies with half of version 2, and again where nobody could send it the last version."""

        def receive(self, version: int, route: Any) -> int:
            from videothinker.model.transfer import Receiving

            whole = Receiving.tensors

            def half(receiving: Receiving) -> Any:
                for number, item in enumerate(whole(receiving)):
                    if number and version == 2 and once(crumbs, "engine dies"):
                        os.kill(os.getpid(), signal.SIGKILL)
                    yield item

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Receiving, "tensors", half)
                return super().receive(version, route)

        def generate(self, version: int, *rest: Any) -> Any:
            if version == 6 and once(crumbs, "engine dies without a learner"):
                os.kill(os.getpid(), signal.SIGKILL)
            yield from super().generate(version, *rest)

    return Attacked


def attacked_rank(crumbs: Path) -> type:
    class Attacked(LearnerRank):
        """Sends small parts; a damaged one of version 3, and half of version 5."""

        def start_stage(self, assignment: Any) -> int:
            from functools import partial

            from learner import rank
            from videothinker.model.parts import divided

            rank.divided = partial(divided, part=SMALL)  # type: ignore[attr-defined]
            return super().start_stage(assignment)

        def send(self, version: int, route: Any) -> str:
            from videothinker.model.transfer import Sending

            say = Sending.say

            def attacking(sending: Sending, key: str, content: Any) -> None:
                if key == "part 1" and version == 3 and once(crumbs, "part damaged"):
                    sending._buffer[11] ^= 1
                if key == "part 1" and version == 5 and once(crumbs, "learner dies"):
                    os.kill(os.getpid(), signal.SIGKILL)
                say(sending, key, content)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Sending, "say", attacking)
                return super().send(version, route)

    return Attacked


@pytest.mark.slow  # in every run: by ipc to engines that sleep, test_sleep.py; by nccl, attacked
@pytest.mark.parametrize("path", ["ipc", "nccl"])
def test_a_run_learns_the_same_whichever_way_its_weights_go(
    path: str, by_host: dict[str, Any], run_config: RunConfig, tmp_path: Path
) -> None:
    config = config_of(run_config, tmp_path / "run", path)
    found = trained(config, RunDirectory.create(config.out, to_yaml(config)))
    assert len(set(by_host["digests"])) == 3
    assert found == by_host


@pytest.mark.parametrize("path", ["nccl", pytest.param("ipc", marks=pytest.mark.slow)])
def test_whoever_dies_with_half_of_a_version_is_replaced_and_the_run_learns_the_same(
    path: str,
    by_host: dict[str, Any],
    run_config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crumbs = tmp_path / "crumbs"
    crumbs.mkdir()
    for what in ATTACKS:
        (crumbs / what).touch()
    monkeypatch.setattr(launch, "RolloutWorker", attacked_engine(crumbs))
    monkeypatch.setattr(launch, "LearnerRank", attacked_rank(crumbs))
    config = config_of(run_config, tmp_path / "run", path)
    found = trained(config, RunDirectory.create(config.out, to_yaml(config)))
    assert not list(crumbs.iterdir()), "everything happened"
    events = read_lines(tmp_path / "run" / "events.jsonl")
    lost = [event["role"] for event in events if event["event"] == "lost"]
    assert sorted(lost) == ["learner"] + 4 * ["rollout"]  # with the learner, who it was sending to
    assert found == by_host


@pytest.fixture(scope="module")
def sharded(mini_base: Path, mini_video: VideoConfig) -> Iterator[Ranks]:
    """Two ranks, each with a part of every parameter, that name their version 7."""
    ranks = Ranks(2)
    ranks.all(
        "start_stage",
        Assignment(
            model=mini_base,
            dtype="float32",
            learner=LearnerConfig(ranks=2, zero_stage=3),
            kl=KLConfig(),
            temperature=1.0,
            steps=9,
            budget=Budget(video=mini_video, dtype="float32", max_tokens=16, max_model_len=512),
            logprob_tolerance=100.0,
        ),
    )
    ranks.all("hold", 7)
    before = dict(os.environ)
    stay_on(LOOPBACK)
    yield ranks
    os.environ.clear()  # staying on an address is for the rest of a process's life
    os.environ.update(before)
    ranks.close()


def way_here(ranks: Ranks, path: Any, number: int) -> tuple[Route, Receiver]:
    """A transfer to this process."""
    route = Route(
        path=path,
        host=LOOPBACK,
        port=ranks.port,
        number=number,
        link=number,
        receiver="rollout-0",
        receivers=1,
        seconds=30,
    )
    return route, Receiver(0, torch.device("cpu"))


@pytest.mark.parametrize("path", ["ipc", "nccl"])
def test_what_two_ranks_hold_in_shards_is_sent_whole_and_a_refusal_leaves_none_waiting(
    sharded: Ranks, mini_base: Path, path: str
) -> None:
    expected = dict(load_model(mini_base, "float32").named_parameters())
    with ThreadPoolExecutor(1) as aside:
        route, receiver = way_here(sharded, path, len(path))
        coming = aside.submit(lambda: dict(receiver.begin(route, 7).tensors()))
        assert sharded.all("send", 7, route) == ""
        found = coming.result()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        route = replace(route, number=100 + route.number)
        aside.submit(lambda: receiver.begin(route, 7).refuse("not mine"))
        assert sharded.all("send", 7, route) == "not mine"


def test_an_engine_refuses_what_is_incomplete_and_does_nothing_more_after_a_damaged_part(
    mini_base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> None:
    """In a process of its own: half a version leaves vLLM in no state for other tests."""
    builder = PromptBuilder(mini_base, mini_world / "raw" / "videos", read_here(mini_video))
    prompt = builder.build(mini_questions[0], training_text(mini_questions[0]))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        found = alone.submit(half_a_version, mini_base, prompt).result()
    assert re.search(r"version 1 were refused: 1 of \d+ tensors missing", found.incomplete)
    assert found.after_refusal == found.before
    assert found.after_update != found.before
    assert re.search("version 1 came in half: the checksum of .* is not", found.damaged)
    assert "version 1 came in half" in found.afterwards
