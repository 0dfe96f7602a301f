"""Two machines, one of which is cut off in the middle, and a third that joins: nodes of one Ray.

Where namespaces may be made each has a network address of its own, and its cable is pulled.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pyarrow.parquet as pq
import pytest
import ray
from cli_process import Command
from other_machine import Machine, machines
from ray_nodes import Node

from videothinker.config.loading import to_yaml
from videothinker.config.settings import ClusterConfig, FaultsConfig, GuardConfig, RunConfig
from videothinker.files import read_lines
from videothinker.process.metrics import EVERYWHERE, EXPORTED

EPOCHS, PROMPTS = 4, 24
SOON = {"RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "2000"}
"""Ray's own patience with a machine that says nothing, a minute without them."""
LIMIT = 240.0
ENGINE = "ray::RolloutWorker"
TITLE = 15
"""Letters that Linux keeps of a process's name."""


def first_place(pid: int) -> str:
    """Where a process looks for modules before anywhere else."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    [path] = [line for line in variables if line.startswith("PYTHONPATH=")]
    return path.removeprefix("PYTHONPATH=").split(os.pathsep)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """A port that is open to other machines."""

    who: str
    url: str
    everywhere: bool
    """On every address that there is."""


class Cluster:
    """Nodes that know each other, each on a machine of its own where such can be made."""

    def __init__(self, hosts: Sequence[Machine]) -> None:
        self.hosts = list(hosts)
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        host = hosts[0].address if hosts else ray.util.get_node_ip_address()
        self.address = f"{host}:{port}"
        self.inside = hosts[0].inside if hosts else ()
        self.nodes: list[Node] = []
        self._begin("--head", f"--port={port}", "--include-dashboard=false")

    def join(self) -> Node:
        return self._begin(f"--address={self.address}")

    def _begin(self, *options: str) -> Node:
        inside = self.hosts[len(self.nodes)].inside if self.hosts else ()
        self.nodes.append(Node(*options, inside=inside))
        return self.nodes[-1]

    def lose(self, node: Node) -> None:
        """Nothing comes from there any more, not even that a connection has ended."""
        if self.hosts:
            self.hosts[self.nodes.index(node)].unplug()
        else:
            node.lose()

    def find_again(self, node: Node) -> None:
        """What was cut off is reached again."""
        if self.hosts:
            self.hosts[self.nodes.index(node)].plug_in()

    def listeners(self, node: Node) -> list[Listener]:
        """Who waits for connections there; nobody where it is no machine of its own."""
        if not self.hosts:
            return []
        host = self.hosts[self.nodes.index(node)]
        shown = subprocess.run(
            [*host.inside, "ss", "--listening", "--tcp", "--numeric", "--processes", "--no-header"],
            check=True,
            capture_output=True,
            text=True,
        )
        found = re.findall(r"^LISTEN +\S+ +\S+ +(\S+):(\d+) .*?\(\(\"(.+?)\"", shown.stdout, re.M)
        everywhere = ("0.0.0.0", "*")
        return [
            Listener(
                who=who,
                url=f"http://{host.address}:{port}/",
                everywhere=address in everywhere,
            )
            for address, port, who in found
            if address in everywhere or host.address in address
        ]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch, machines(3) as hosts:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        for name, value in SOON.items():
            patch.setenv(name, value)
        cluster = Cluster(hosts)
        yield cluster
        for node in cluster.nodes:
            node.lose()


@pytest.fixture(scope="module")
def config(run_config: RunConfig, mini_world: Path) -> RunConfig:
    """Some epochs of all questions, every one of them once in each; two rollout workers."""
    stage = run_config.stages[0].model_copy(
        update={
            "questions": mini_world / "questions.parquet",
            "steps": EPOCHS * PROMPTS // 2,
            "prompts_per_step": 2,
            "guard": GuardConfig(action="off"),  # an untrained model has nothing to lose
        }
    )
    changes = {"workers": 2, "prompts_together": 1}
    return run_config.model_copy(
        update={
            "stages": (stage,),
            "rollout": run_config.rollout.model_copy(update=changes),
            "data": run_config.data.model_copy(update={"validation": None}),
            "faults": FaultsConfig(heartbeat_seconds=1),
            "learner": run_config.learner.model_copy(update={"ranks": 2}),  # one on each
        }
    )


def wait(command: Command, happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not happened():
        if command.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(command.finish(1))
        time.sleep(0.2)


def assert_seen_by_other_machines(run: Path) -> None:
    targets = json.loads((run / "prometheus_targets.json").read_text())
    assert {target["labels"]["role"] for target in targets} == set(EXPORTED) - {"anchor"}
    for target in targets:
        [address] = target["targets"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            assert b"process_resident_memory_bytes" in page.read()


def lost_roles(run: Path) -> set[str]:
    events = read_lines(run / "events.jsonl")
    return {event["role"] for event in events if event["event"] == "lost"}


def assert_as_documented(listeners: Sequence[Listener]) -> None:
    """docs/jobs.md: on every address Ray, whose calls take a token, and our metrics; what our
    libraries open is on the machine's own. Metrics are all that a stranger is told."""
    ours = {f"ray::{role}"[:TITLE] for role in ("LearnerRank", "RolloutWorker", "PromptLoader")}
    agents = {f"ray::{name}Agent"[:TITLE] for name in ("Dashboard", "RuntimeEnv")}
    rays = {"raylet", "gcs_server", "python", "ray::IDLE", *agents}
    assert {one.who for one in listeners} <= ours | rays
    for one in listeners:
        if one.everywhere or one.who in agents:  # the others' libraries take anything for their own
            told = told_to_a_stranger(one.url)
            assert told in (None, "401") or told.startswith("# HELP"), one


def told_to_a_stranger(url: str) -> str | None:
    """A page, or the code of a refusal; None where something else is spoken."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except HTTPError as error:
        return str(error.code)
    except (HTTPException, OSError):
        return None


DRIVER = """
import asyncio, sys
from contextlib import closing
from cluster.start.launch import Crew, ray_running
from videothinker.config.settings import ClusterConfig, FaultsConfig
from videothinker.errors import VideoThinkerError

cpu = ClusterConfig(device="cpu", address=sys.argv[1])
try:
    with ray_running(cpu) as vigil, closing(Crew(FaultsConfig(), "cpu")) as crew:
        vigil.tell(crew.background.fail)
        print("connected", flush=True)
        crew.background.run(asyncio.sleep(600))
except VideoThinkerError as error:
    print(type(error).__name__, error)
"""


def test_a_cluster_that_is_gone_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    cluster = Cluster([])
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, cluster.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout
    assert driver.stdout.readline() == "connected\n"
    cluster.nodes[0].lose()
    out, err = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 0, err
    gone = f"cluster {cluster.address}: its raylet on this machine is gone"
    assert out.strip() == f"VideoThinkerError {gone}"
    assert err.strip() == f"{gone}; where this command ends with it, the same one goes on"


def test_a_run_goes_on_when_a_machine_is_lost_and_uses_one_that_joins(
    cluster: Cluster, config: RunConfig, tmp_path: Path
) -> None:
    [head] = cluster.nodes
    second = cluster.join()
    there = ClusterConfig(
        address=cluster.address,
        device="cpu",
        logprob_tolerance=1e-4,
        metrics_host=EVERYWHERE,
    )
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(to_yaml(config.model_copy(update={"cluster": there})))
    command = Command("train", file, f"out={run}", inside=cluster.inside)
    wait(command, lambda: len(read_lines(run / "metrics.jsonl")) >= 2)
    assert_seen_by_other_machines(run)
    engines = [*head.titled(ENGINE), *second.titled(ENGINE)]
    assert (len(head.titled(ENGINE)), len(second.titled(ENGINE))) == (1, 1)
    assert all("_ray_pkg_" in first_place(pid) for pid in engines), "not the driver's code"

    assert_as_documented([*cluster.listeners(head), *cluster.listeners(second)])

    cluster.lose(second)
    third = cluster.join()
    wait(command, lambda: {"rollout", "learner"} <= lost_roles(run))
    cluster.find_again(second)
    code, out, err = Command("scale", run, "--rollouts", "3").finish(60)
    assert code == 0, out + err
    wait(command, lambda: third.titled(ENGINE))

    code, _, err = command.finish(LIMIT)
    assert code == 0, err
    files = sorted((run / "rollouts").glob("*.parquet"))
    trained = [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]
    assert len(set(trained)) == PROMPTS
    assert set(Counter(trained).values()) == {EPOCHS}
    assert not read_lines(run / "skipped.jsonl")
    assert lost_roles(run) == {"rollout", "learner"}
    second.process.wait(LIMIT)  # Ray has gone on without it, so it ends
