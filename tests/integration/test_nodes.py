"""Two machines, one of which is lost in the middle, and a third that joins: nodes of one Ray."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
from cli_process import MARK, Command, living

from videothinker.config.loading import to_yaml
from videothinker.config.settings import ClusterConfig, FaultsConfig, GuardConfig, RunConfig
from videothinker.files import read_lines
from videothinker.process.metrics import EVERYWHERE, EXPORTED, public_address

EPOCHS, PROMPTS = 4, 24
LIMIT = 240.0


class Machine:
    """A node of a Ray cluster, with processes of its own on this one; ends with its power."""

    def __init__(self, *options: str) -> None:
        self.mark = uuid.uuid4().hex
        ray_start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        self._process = subprocess.Popen(
            [*ray_start, "--num-cpus=1", *options],
            env=os.environ | {MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = ""
        while "Ray runtime started" not in said:
            assert self._process.stdout
            line = self._process.stdout.readline()
            said += line
            assert line, said

    def lose(self) -> None:
        """As if its power failed."""
        while pids := living(self.mark):  # some are started while others die
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()

    def engines(self) -> list[int]:
        """Rollout workers that run here, by the titles of their processes."""
        titles = {pid: Path(f"/proc/{pid}/cmdline") for pid in living(self.mark)}
        return [pid for pid, title in titles.items() if b"ray::RolloutWorker" in title.read_bytes()]


def first_place(pid: int) -> str:
    """Where a process looks for modules before anywhere else."""
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    [path] = [line for line in variables if line.startswith("PYTHONPATH=")]
    return path.removeprefix("PYTHONPATH=").split(os.pathsep)[0]


class Cluster:
    """Machines that know each other."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        self.machines = [Machine("--head", f"--port={port}", "--include-dashboard=false")]

    def join(self) -> Machine:
        self.machines.append(Machine(f"--address={self.address}"))
        return self.machines[-1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        cluster = Cluster()
        yield cluster
        for machine in cluster.machines:
            machine.lose()


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
        assert address.startswith(f"{public_address()}:")
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
            assert b"process_resident_memory_bytes" in page.read()


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
    cluster = Cluster()
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, cluster.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout
    assert driver.stdout.readline() == "connected\n"
    cluster.machines[0].lose()
    out, err = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 0, err
    gone = f"cluster {cluster.address}: its raylet on this machine is gone"
    assert out.strip() == f"VideoThinkerError {gone}"
    assert err.strip() == f"{gone}; where this command ends with it, the same one goes on"


def test_a_run_goes_on_when_a_machine_is_lost_and_uses_one_that_joins(
    cluster: Cluster, config: RunConfig, tmp_path: Path
) -> None:
    [head] = cluster.machines
    second = cluster.join()
    there = ClusterConfig(
        address=cluster.address,
        device="cpu",
        logprob_tolerance=1e-4,
        metrics_host=EVERYWHERE,
    )
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(to_yaml(config.model_copy(update={"cluster": there})))
    command = Command("train", file, f"out={run}")
    wait(command, lambda: len(read_lines(run / "metrics.jsonl")) >= 2)
    assert_seen_by_other_machines(run)
    engines = [*head.engines(), *second.engines()]
    assert (len(head.engines()), len(second.engines())) == (1, 1)
    assert all("_ray_pkg_" in first_place(pid) for pid in engines), "not the driver's code"

    second.lose()
    third = cluster.join()
    code, out, err = Command("scale", run, "--rollouts", "3").finish(60)
    assert code == 0, out + err
    wait(command, third.engines)

    code, _, err = command.finish(LIMIT)
    assert code == 0, err
    files = sorted((run / "rollouts").glob("*.parquet"))
    trained = [prompt for file in files for prompt in pq.read_table(file)["prompt_id"].to_pylist()]
    assert len(set(trained)) == PROMPTS
    assert set(Counter(trained).values()) == {EPOCHS}
    assert not read_lines(run / "skipped.jsonl")
    events = read_lines(run / "events.jsonl")
    assert "lost" in {event["event"] for event in events if event["role"] == "rollout"}
