"""Two machines, one of which is lost in the middle, and a third that joins: nodes of one Ray."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from cli_process import Command
from ray.cluster_utils import Cluster

from videothinker.config import ClusterConfig, FaultsConfig, RunConfig
from videothinker.config_file import to_yaml
from videothinker.run import read_lines

EPOCHS, PROMPTS = 4, 24
LIMIT = 240.0


class Nodes:
    """A Ray cluster whose nodes share this machine, and what runs on each."""

    def __init__(self) -> None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        self._cluster = Cluster()
        self.head = self.add()
        self.second = self.add()
        self.address: str = self._cluster.address

    def add(self) -> Any:
        options = {"include_dashboard": False, "node_ip_address": "127.0.0.1"}
        return self._cluster.add_node(num_cpus=1, **options)

    def lose(self, node: Any) -> None:
        """As if its power failed."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()

    def actors(self, node: Any) -> Counter[str]:
        """The kinds of actors that live on a node, by the titles of their processes."""
        found: Counter[str] = Counter()
        [raylet] = node.all_processes["raylet"]
        for child in psutil.Process(raylet.process.pid).children():
            title = " ".join(child.cmdline())
            if title.startswith("ray::") and "IDLE" not in title:
                found[title.removeprefix("ray::").partition(".")[0].split()[0]] += 1
        return found


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.close()


@pytest.fixture(scope="module")
def config(run_config: RunConfig, mini_world: Path, taught_base: Path) -> RunConfig:
    """Some epochs of all questions, every one of them once in each; two rollout workers."""
    stage = run_config.stages[0].model_copy(
        update={
            "questions": mini_world / "questions.parquet",
            "steps": EPOCHS * PROMPTS // 2,
            "prompts_per_step": 2,
        }
    )
    changes = {"workers": 2, "prompts_together": 1}
    return run_config.model_copy(
        update={
            "stages": (stage,),
            "rollout": run_config.rollout.model_copy(update=changes),
            "data": run_config.data.model_copy(update={"validation": None}),
            "model": run_config.model.model_copy(update={"path": taught_base}),
            "faults": FaultsConfig(heartbeat_seconds=1),
        }
    )


def wait(command: Command, happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not happened():
        assert command.process.poll() is None, command.finish(1)
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_run_goes_on_when_a_machine_is_lost_and_uses_one_that_joins(
    nodes: Nodes, config: RunConfig, tmp_path: Path
) -> None:
    cluster = ClusterConfig(address=nodes.address, device="cpu", logprob_tolerance=1e-4)
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(to_yaml(config.model_copy(update={"cluster": cluster})))
    command = Command("train", file, f"out={run}")

    def steps() -> int:
        return len(read_lines(run / "metrics.jsonl"))

    wait(command, lambda: steps() >= 2)
    before = [nodes.actors(node)["RolloutWorker"] for node in (nodes.head, nodes.second)]
    assert before == [1, 1], "a worker on each node"

    nodes.lose(nodes.second)
    third = nodes.add()
    code, out, err = Command("scale", run, "--rollouts", "3").finish(60)
    assert code == 0, out + err
    wait(command, lambda: nodes.actors(third)["RolloutWorker"])

    code, _, err = command.finish(LIMIT)
    assert code == 0, err
    files = sorted((run / "rollouts").glob("*.parquet"))
    trained = [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]
    assert len(set(trained)) == PROMPTS
    assert set(Counter(trained).values()) == {EPOCHS}
    assert not read_lines(run / "skipped.jsonl")
    events = read_lines(run / "events.jsonl")
    assert "lost" in {event["event"] for event in events if event["role"] == "rollout"}
