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
