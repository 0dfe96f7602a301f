"""A Ray for one run on one machine: on the loopback alone, and no process that the run can spare.

Ray has no settings for most of this, so that names of its own are replaced while it starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import node, parameter, ray_constants, utils

from videothinker.process.address import LOOPBACK

SETTINGS = {"prestart_worker_first_driver": False, "task_events_report_interval_ms": 0}
"""Ray's own: no process for each core that no actor of ours ever uses; no list of every call ever
made, which only its dashboard shows and which takes 80 KB a step."""
MARK = "VIDEOTHINKER_RAY"
"""A variable in the environment of all that belongs to a Ray of ours; its value says which one."""
END_SECONDS, END_ATTEMPTS = 10.0, 6
"""For what was killed to end, which what waits for a hanging disk does not."""


def start_own(store_bytes: int | None, mark: str, **options: Any) -> str:
    """Start it and connect; it ends with this process. What it consists of carries the mark.
    Returns the folder of its logs."""
    with (
        marked(mark),
        replaced(
            # Ray takes 127.0.0.1 for a mistake, puts the machine's address in its place and then
            # listens on every interface. Not so where a cluster of several machines cannot be.
            (ray_constants, "ENABLE_RAY_CLUSTER", False),
            # What scales a cluster, and what would bring logs to the driver.
            (
                parameter,
                "RayParams",
                partial(parameter.RayParams, no_monitor=True, include_log_monitor=False),
            ),
            # The server of the dashboard, which Ray starts without a dashboard, too.
            (node.Node, "start_api_server", lambda self, **_: setattr(self, "_webui_url", "")),
            # Its libraries, which Ray would load into this process to see whether they are there.
            (utils, "get_dashboard_dependency_error", lambda: "not wanted"),
        ),
    ):
        context = ray.init(
            address="local",
            _node_ip_address=LOOPBACK,
            _system_config=SETTINGS,
            include_dashboard=False,
            object_store_memory=store_bytes,
            **options,
        )
    return os.path.join(context.address_info["session_dir"], "logs")


@contextmanager
def marked(mark: str) -> Iterator[None]:
    """Whatever is started inside the block carries the mark, and so does what that starts."""
    os.environ[MARK] = mark
    try:
        yield
    finally:
        del os.environ[MARK]


def parts_of(mark: str) -> list[psutil.Process]:
    """Every process that carries the mark and still runs, and what it has started; Linux only.

    The titles that Ray's agents give themselves lie over a part of their environment, so that the
    mark may be gone there.
    """
    words, found = f"{MARK}={mark}".encode(), set[psutil.Process]()
    for process in psutil.process_iter():
        # somebody else's, or it ended while we looked
        with suppress(psutil.Error, OSError):
            # psutil's own reading ends where Ray's titles begin, which lie over a part of it
            carries = words in Path(f"/proc/{process.pid}/environ").read_bytes()
            if carries and runs(process):
                found |= {process, *process.children(recursive=True)}
    return sorted(found, key=lambda process: process.pid)


def lasting_parts(mark: str) -> list[psutil.Process]:
    """GCS, raylet and its agents, which are to be there for as long as the mark's Ray."""
    named = dict[psutil.Process, str]()
    for part in parts_of(mark):
        with suppress(psutil.NoSuchProcess):  # it ended while we looked
            named[part] = part.name()
    raylets = {part.pid for part, name in named.items() if name == "raylet"}
    daemons = ("gcs_server", "raylet")
    return [part for part, name in named.items() if name in daemons or part.ppid() in raylets]


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def end_own(mark: str) -> None:
    """Shut it down, and kill whatever is left of it. Ray itself leaves its agents behind for a
    minute where they had not met it yet, and knows nothing of a start that was cut short.
    """
    parts = parts_of(mark)
    ray.shutdown()
    for _ in range(END_ATTEMPTS):  # some are started while others end
        parts = [part for part in parts if runs(part)] or parts_of(mark)
        if not parts:
            return
        for part in parts:
            with suppress(psutil.Error):
                part.kill()
        psutil.wait_procs(parts, END_SECONDS)


@contextmanager
def replaced(*names: tuple[Any, str, Any]) -> Iterator[None]:
    """Names of other modules mean something else inside the block."""
    usual = [(owner, name, getattr(owner, name)) for owner, name, _ in names]
    try:
        for owner, name, other in names:
            setattr(owner, name, other)
        yield
    finally:
        for owner, name, value in usual:
            setattr(owner, name, value)
