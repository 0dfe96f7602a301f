"""The RayJob was never run; what it asks for can be looked at all the same."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from videothinker.cli import main, training
from videothinker.config.loading import load_config
from videothinker.planning.plan import run as plan

ROOT = Path(__file__).parents[2]
CHECKOUT = "/shared/videothinker"
"""Where the manifest has this repository."""
GPU_GB = 48.0
"""What configs/scale_out.yaml is written for."""


@pytest.fixture
def spec() -> dict[str, Any]:
    job = yaml.safe_load((ROOT / "configs" / "kubernetes" / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    return dict(job["spec"])


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod of every machine."""
    cluster = spec["rayClusterSpec"]
    groups = [(cluster["headGroupSpec"], 1)]
    groups += [(group, group["replicas"]) for group in cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group, count in groups for _ in range(count)]


def command(spec: dict[str, Any]) -> Any:
    python, m, package, *words = shlex.split(spec["entrypoint"])
    assert (python, m, package) == ("python", "-m", "videothinker")
    return main.parse(words)


def test_its_command_is_a_training_that_needs_no_shell(spec: dict[str, Any]) -> None:
    asked = command(spec)
    assert asked.action is training.train.action
    assert not set("&|;<>$`") & set(spec["entrypoint"])


def test_every_path_is_on_the_volume_of_every_machine(spec: dict[str, Any]) -> None:
    asked = command(spec)
    assert asked.paths_from == Path(CHECKOUT)
    for pod in pods(spec):
        [container] = pod["containers"]
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment["PYTHONPATH"] == CHECKOUT
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/shared", "/dev/shm"} <= mounts
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in pod["volumes"]
        }


def test_its_machines_are_what_the_configuration_plans_for(spec: dict[str, Any]) -> None:
    [file] = command(spec).words
    here = file.replace(CHECKOUT, str(ROOT))
    assert load_config(Path(here)).cluster.address == "auto"
    limits = [pod["containers"][0]["resources"]["limits"] for pod in pods(spec)]
    [(gpus, memory)] = {(int(one["nvidia.com/gpu"]), one["memory"]) for one in limits}
    host_gb = int(memory.removesuffix("Gi")) * 2**30 / 1e9
    _, layout = plan([here], nodes=len(limits), gpus=gpus, gpu_gb=GPU_GB, host_gb=host_gb)
    assert layout["kind"] == "scale_out"


def test_a_token_is_asked_for_and_a_failed_job_tried_again(spec: dict[str, Any]) -> None:
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert spec["backoffLimit"] >= 1
