"""An engine over two ranks: the model of one, in processes that come and go with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil
import pytest
import torch
from cloudpickle import register_pickle_by_value
from half_a_version import Sent

from actors.rollout import RolloutWorker
from actors.vllm_engine import VllmEngine
from cluster.train import run
from cluster.workers.fleet import Fleet
from videothinker.config.loading import to_yaml
from videothinker.config.settings import RolloutConfig, RunConfig, VideoConfig
from videothinker.errors import Lost, WeightsError
from videothinker.files import read_lines
from videothinker.method.prompts import training_text
from videothinker.model.parts import as_part
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.process.address import LOOPBACK, stay_on
from videothinker.run.directory import RunDirectory
from videothinker.types import Completion, Prompt, Question, WeightsPart

register_pickle_by_value(sys.modules[__name__])
pytestmark = pytest.mark.timeout(900)
TOLERANCE = 1e-4
SIZE = RolloutConfig(max_model_len=512, cache_gb=0.25, tensor_parallel=2)
SAMPLES, TOKENS = 4, 24
Groups = dict[int, tuple[Completion, ...]]


def ranks_of(process: int) -> list[psutil.Process]:
    """The processes of an engine's model."""
    children = psutil.Process(process).children()
    return [one for one in children if "Worker_TP" in " ".join(one.cmdline())]


@pytest.fixture(scope="module")
def worker(even_base: Path) -> Iterator[RolloutWorker]:
    """In this process, without Ray; its two ranks in two others."""
    before = dict(os.environ)
    stay_on(LOOPBACK)
    yield RolloutWorker("here", even_base, "float32", SIZE, TOKENS, "cpu")
    os.environ.clear()  # staying on an address is for the rest of a process's life
    os.environ.update(before)


@pytest.fixture(scope="module")
def engine(worker: RolloutWorker) -> VllmEngine:
    return worker._engine


@pytest.fixture(scope="module")
def ranks(worker: RolloutWorker) -> list[psutil.Process]:
    found = ranks_of(os.getpid())
    assert len(found) == 2
    return found


@pytest.fixture(scope="module")
def prompts(
    even_base: Path,
    mini_world: Path,
    mini_questions: list[Question],
    read_here: Any,
    mini_video: VideoConfig,
) -> list[Prompt]:
    builder = PromptBuilder(even_base, mini_world / "raw" / "videos", read_here(mini_video))
    return [builder.build(q, training_text(q)) for q in mini_questions[:4]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Edition:
    """Weights, in two parts, and the policy that they are."""

    policy: Policy
    tensors: dict[str, torch.Tensor]
    parts: list[WeightsPart]


@pytest.fixture(scope="module")
def edition(even_base: Path) -> Callable[[int], Edition]:
    """By version; 0 is the checkpoint, others are far enough apart that log-probs tell them."""

    def make(version: int) -> Edition:
        model = load_model(even_base, "float32")
        generator = torch.Generator().manual_seed(version)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += 0.02 * bool(version) * noise
        tensors = {name: one.detach() for name, one in model.named_parameters()}
        items = list(tensors.items())
        parts = [as_part(version, items[:20]), as_part(version, items[20:])]
        return Edition(policy=Policy(model), tensors=tensors, parts=parts)

    return make


def sample(engine: VllmEngine, prompts: Sequence[Prompt]) -> Groups:
    seeds = range(len(prompts))
    return dict(
        engine.sample(prompts, samples=SAMPLES, temperature=1.0, max_tokens=TOKENS, seeds=seeds)
    )


def gap(policy: Policy, prompts: Sequence[Prompt], groups: Groups) -> float:
    """How far the sampler's log-probs are from this policy's."""
    worst = 0.0
    for number, completions in groups.items():
        with torch.no_grad():
            logp, _ = policy([(prompts[number], [c.token_ids for c in completions])], 1.0)
        for row, one in zip(logp, completions, strict=True):
            worst = max(worst, float(np.abs(row[: len(one.logprobs)].numpy() - one.logprobs).max()))
    return worst


def test_two_ranks_sample_as_one_engine_and_as_the_policy(
    engine: VllmEngine, even_base: Path, prompts: list[Prompt], edition: Callable[[int], Edition]
) -> None:
    single = VllmEngine(even_base, "float32", SIZE.model_copy(update={"tensor_parallel": 1}), "cpu")
    groups, others = sample(engine, prompts), sample(single, prompts)
    assert sum(len(one) for one in groups.values()) == len(prompts) * SAMPLES
    assert gap(edition(0).policy, prompts, groups) < TOLERANCE
    for number, completions in others.items():
        for ours, theirs in zip(groups[number], completions, strict=True):
            np.testing.assert_array_equal(ours.token_ids, theirs.token_ids)
            np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=TOLERANCE)


def test_each_rank_has_half_of_the_heads_and_counts_as_the_engine_s(
    worker: RolloutWorker, engine: VllmEngine, ranks: list[psutil.Process]
) -> None:
    assert engine._llm.collective_rpc(heads_held) == [2, 2]
    others = [one.memory_info().rss for one in ranks]
    assert worker.usage().memory > psutil.Process().memory_info().rss + min(others)
    assert worker.pulse().usage.threads == 1


def heads_held(rank: Any) -> int:
    """By the first layer of a rank, in its process."""
    return int(rank.model_runner.model.language_model.model.layers[0].self_attn.num_heads)


def test_ranks_listen_on_the_loopback_alone(ranks: list[psutil.Process]) -> None:
    places = [c.laddr.ip for one in ranks for c in one.net_connections() if c.status == "LISTEN"]
    assert {*places} <= {LOOPBACK}


def damaged(parts: list[WeightsPart]) -> list[WeightsPart]:
    """A bit of the last tensor is another."""
    name, stored = list(parts[-1].tensors.items())[-1]
    content = stored.content.copy()
    content[-1] ^= 1
    tensors = parts[-1].tensors | {name: replace(stored, content=content)}
    return [*parts[:-1], replace(parts[-1], tensors=tensors)]


def incomplete(parts: list[WeightsPart]) -> list[WeightsPart]:
    """The first part alone."""
    return parts[:1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (damaged, "the checksum of .* is not the published one"),
        (incomplete, r"rank 0: \d+ of \d+ tensors missing, first "),
    ],
)
def test_weights_that_are_wrong_are_refused_and_both_ranks_keep_the_old(
    worker: RolloutWorker,
    prompts: list[Prompt],
    edition: Callable[[int], Edition],
    wrong: Callable[[list[WeightsPart]], list[WeightsPart]],
    said: str,
) -> None:
    with pytest.raises(WeightsError, match=f"weights version 1 were not loaded: {said}"):
        worker.load(1, *wrong(edition(1).parts))
    assert gap(edition(0).policy, prompts, sample(worker._engine, prompts)) < TOLERANCE


def test_new_weights_are_taken_by_both_ranks_whichever_way_they_come(
    worker: RolloutWorker, prompts: list[Prompt], edition: Callable[[int], Edition]
) -> None:
    new = edition(1)
    assert worker.load(1, *new.parts) == 1
    assert gap(new.policy, prompts, sample(worker._engine, prompts)) < TOLERANCE
    paths: tuple[Literal["ipc", "nccl"], ...] = ("ipc", "nccl")
    for number, path in enumerate(paths, 2):
        new = edition(number)
        sent = Sent(new.tensors, path=path, receivers=2)
        assert sent.to(worker, number) == ""
        assert gap(new.policy, prompts, sample(worker._engine, prompts)) < TOLERANCE


def test_an_engine_that_loses_a_rank_is_lost_whoever_asks_and_nothing_of_it_stays(
    worker: RolloutWorker,
    engine: VllmEngine,
    ranks: list[psutil.Process],
    prompts: list[Prompt],
    edition: Callable[[int], Edition],
) -> None:
    with ThreadPoolExecutor(1) as aside:
        sampling = aside.submit(sample, engine, prompts * 20)
        while not engine.work().running:
            time.sleep(0.01)
        ranks[1].kill()
        with pytest.raises(Lost, match="the engine failed: a process of its model died"):
            sampling.result(60)
    for ask in (
        lambda: worker.load(9, *edition(9).parts),
        lambda: list(worker.generate(0, SAMPLES, 1.0, [0], prompts[0])),
        worker.pulse,
    ):
        with pytest.raises(Lost):
            ask()
    assert psutil.wait_procs(ranks, 20)[1] == []


def test_a_run_replaces_such_an_engine_when_a_process_of_its_model_dies(
    run_config: RunConfig, even_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, killed = Fleet.learn, []

    def losing(fleet: Fleet, step: int, *more: Any) -> Any:
        if step == 2 and not killed:
            engine = next(
                process
                for process in psutil.Process().children(recursive=True)
                if "ray::RolloutWorker" in " ".join(process.cmdline())
            )
            killed.extend(ranks_of(engine.pid))
            killed[1].kill()
        return learn(fleet, step, *more)

    monkeypatch.setattr(Fleet, "learn", losing)
    config = run_config.model_copy(
        update={
            "out": tmp_path / "run",
            "model": run_config.model.model_copy(update={"path": even_base}),
            "rollout": SIZE,
            "stages": run_config.stages[:1],
        }
    )
    directory = RunDirectory.create(config.out, to_yaml(config))
    run(config, directory)
    assert len(killed) == 2
    assert directory.status()["restarts"]["rollout"] == 1
    steps = [line["step"] for line in read_lines(config.out / "metrics.jsonl")]
    assert steps == [1, 2, 3]
    assert psutil.wait_procs(killed, 10)[1] == []


ENGINE = """
import sys
from pathlib import Path
from actors.rollout import RolloutWorker
from videothinker.config.settings import RolloutConfig

if __name__ == "__main__":
    size = RolloutConfig(max_model_len=512, cache_gb=0.25, tensor_parallel=2)
    RolloutWorker("alone", Path(sys.argv[1]), "float32", size, 24, "cpu")
    print("it is there", flush=True)
    sys.stdin.read()
"""


def test_ranks_end_with_an_engine_that_is_killed(even_base: Path, tmp_path: Path) -> None:
    """One of them stopped, as if it waited for the other: nobody has to be listening."""
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, script, even_base],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as alone:
        assert alone.stdout is not None
        assert any("it is there" in line for line in alone.stdout)
        ranks = ranks_of(alone.pid)
        assert len(ranks) == 2
        os.kill(ranks[0].pid, signal.SIGSTOP)
        alone.kill()
    assert psutil.wait_procs(ranks, 10)[1] == []
