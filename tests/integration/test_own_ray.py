"""The Ray that a run starts for itself: as few processes as it needs, and all gone at its end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
import psutil
from cluster.start.launch import actor, ray_running
from videothinker.config.settings import ClusterConfig

class Worker:
    def pulse(self):
        return "here"

with ray_running(ClusterConfig(device="cpu")):
    import ray
    worker = actor(Worker).remote()
    assert ray.get(worker.pulse.remote()) == "here"
    found = psutil.Process().children(recursive=True)
    [gcs] = [one for one in found if one.name() == "gcs_server"]
    held = []
    for _ in range(4):
        ray.get([worker.pulse.remote() for _ in range(1_000)])
        held.append(gcs.memory_info().rss)
    titles = {one.pid: one.cmdline()[0] for one in found}
    print(json.dumps({"processes": titles, "grown_mb": (held[-1] - held[0]) / 1e6}))
"""
NEEDED = {"gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::Worker"}


def test_a_runs_own_ray_has_no_process_that_it_can_spare() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout)
    assert told["grown_mb"] < 2, "Ray keeps a list of 3,000 calls, which takes 5 MB"
    found = {int(pid): title for pid, title in told["processes"].items()}
    names = [Path(title).name.split(".")[0].strip() for title in found.values()]
    assert sorted(names) == sorted(NEEDED)
    deadline = time.monotonic() + 20
    while (left := [pid for pid in found if runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def runs(pid: int) -> bool:
    """Whether a process is there, and not only its entry for a parent that does not ask."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


LOSING = """
import asyncio, json, sys, time
from contextlib import closing
import psutil
from cluster.start.launch import Crew, actor, ray_running
from cluster.workers.process import Process
from videothinker.config.settings import ClusterConfig, FaultsConfig
from videothinker.errors import RayLost

class Worker:
    def pulse(self):
        return "here"

    def work(self):
        import time
        time.sleep(600)

def asked(loop, method):
    process = loop.call(lambda: Process("worker-0", actor(Worker, 2).remote()))
    return loop.start(process.call("asked", 600, method))

cpu, faults = ClusterConfig(device="cpu"), FaultsConfig()
for victim in sys.argv[1:]:
    try:
        with ray_running(cpu) as vigil, closing(Crew(faults, "cpu")) as crew:
            vigil.tell(crew.background.fail)
            assert crew.background.wait(asked(crew.background, "pulse")) == "here"
            working = asked(crew.background, "work")
            parts = psutil.Process().children(recursive=True)
            [part] = [part for part in parts if victim in part.cmdline()[0]]
            part.kill()
            killed = time.monotonic()
            crew.background.wait(working)
    except RayLost as lost:
        left = [one for one in psutil.Process().children(recursive=True)]
        print(json.dumps([str(lost), time.monotonic() - killed, len(left)]), flush=True)
with ray_running(cpu), closing(Crew(faults, "cpu")) as crew:
    assert crew.background.wait(asked(crew.background, "pulse")) == "here"
"""


def test_the_loss_of_a_part_is_told_in_seconds_and_another_ray_can_follow() -> None:
    victims = {"raylet": "raylet", "gcs_server": "gcs_server", "ray::DashboardAgent": "agent"}
    done = subprocess.run(
        [sys.executable, "-c", LOSING, *victims],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    for called, line in zip(victims.values(), done.stdout.splitlines(), strict=True):
        said, seconds, left = json.loads(line)
        assert called in said.partition(", perhaps killed")[0]
        assert seconds < 15  # until everything of it was ended, too
        assert left == 0
    assert "core_worker" not in done.stderr
    assert "Traceback" not in done.stderr
