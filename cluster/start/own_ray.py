"""A Ray for one run on one machine: on the loopback alone, and no process that the run can spare.

Ray has no settings for most of this, so that names of its own are replaced while it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from ray._private import node, parameter, ray_constants, utils

from videothinker.process.address import LOOPBACK

SETTINGS = {"prestart_worker_first_driver": False, "task_events_report_interval_ms": 0}
"""Ray's own: no process for each core that no actor of ours ever uses; no list of every call ever
made, which only its dashboard shows and which takes 80 KB a step."""


def start_own(store_bytes: int | None, **options: Any) -> None:
    """Start it and connect; it ends with this process."""
    with replaced(
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
    ):
        ray.init(
            address="local",
            _node_ip_address=LOOPBACK,
            _system_config=SETTINGS,
            include_dashboard=False,
            object_store_memory=store_bytes,
            **options,
        )


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
