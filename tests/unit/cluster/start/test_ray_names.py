"""Ray's private names that we use are there, and are still what ARCHITECTURE.md says of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import ray
from ray._private import (
    auto_init_hook,
    internal_api,
    node,
    parameter,
    ray_constants,
    services,
    utils,
)

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "ARCHITECTURE.md").read_text().partition("## Private names of Ray's")[2]
PAGE = PAGE.partition("\n## ")[0]
NAMED = set(re.findall(r"^\| `([\w.]+)`(?:, `(\w+)`)?", PAGE, re.MULTILINE))


def parameters(function: object) -> set[str]:
    return {*inspect.signature(function).parameters}  # type: ignore[arg-type]


def test_a_cluster_on_the_loopback_is_still_a_matter_of_one_constant() -> None:
    assert isinstance(ray_constants.ENABLE_RAY_CLUSTER, bool)
    assert "ENABLE_RAY_CLUSTER" in inspect.getsource(services.get_node_ip_address)


def test_the_number_of_tries_is_still_a_constant() -> None:
    assert isinstance(ray_constants.NUM_REDIS_GET_RETRIES, int)


def test_monitors_are_still_parameters_of_a_node() -> None:
    assert {"no_monitor", "include_log_monitor"} <= parameters(parameter.RayParams.__init__)


def test_a_node_still_starts_the_api_server_by_a_method_of_its_own() -> None:
    assert {"self", "include_dashboard"} <= parameters(node.Node.start_api_server)
    assert "start_api_server" in inspect.getsource(node.Node.start_head_processes)
    assert callable(utils.get_dashboard_dependency_error)


def test_what_ray_says_of_lost_processes_still_goes_through_one_function() -> None:
    source = inspect.getsource(ray._private.worker.listen_error_messages)
    assert "print_to_stdstream(" in source


def test_whether_calls_start_a_ray_is_still_a_matter_of_one_variable() -> None:
    assert isinstance(auto_init_hook.enable_auto_connect, bool)
    assert "enable_auto_connect" in inspect.getsource(auto_init_hook.auto_init_ray)


def test_handlers_of_a_signal_are_still_set_by_one_function() -> None:
    for owner in (ray._private.worker.init, node.Node._register_shutdown_hooks):
        assert "ray._private.utils.set_sigterm_handler(" in inspect.getsource(owner)
    assert re.search(r"^    connect\(", inspect.getsource(ray._private.worker.init), re.MULTILINE)


def test_an_address_can_still_be_asked_for() -> None:
    assert next(iter(inspect.signature(services.get_ray_address_from_environment).parameters)) == (
        "addr"
    )


def test_the_store_can_still_be_asked_what_it_spilled() -> None:
    asked = {"node_manager_address", "node_manager_port", "timeout_seconds"}
    assert asked <= parameters(internal_api.get_memory_info_reply)
    from ray.core.generated import node_manager_pb2

    reply = node_manager_pb2.FormatGlobalMemoryInfoReply()
    assert reply.store_stats.spilled_bytes_total == 0


def test_the_table_names_every_private_name_that_the_code_uses() -> None:
    named = {part for pair in NAMED for name in pair if name for part in [name.split(".")[-1]]}
    used: set[str] = set()
    for file in (ROOT / "cluster").rglob("*.py"):
        text = file.read_text()
        if "ray._private" not in text:
            continue
        for line in re.findall(r"^from ray\._private\.\w+ import (.+)$", text, re.MULTILINE):
            used |= {name.strip() for name in line.split(",")}
        used |= set(re.findall(r'(?<!getattr)\(\w+(?:\.\w+)?, "(\w+)"', text))
        used |= {"RayParams"} if "parameter.RayParams" in text else set()
        used |= set(re.findall(r"(?:ray\._private\.\w+|worker)\.(\w+)(?= =)", text))
        used |= set(re.findall(r"(?:constants|hook)\.(\w+)", text))
    used -= {"worker"}
    assert used == named
