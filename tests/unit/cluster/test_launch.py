"""What a run brings to the Ray that it starts or joins, and what it keeps of its own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from cluster.launch import code_for_others, ray_running, store_bytes
from videothinker.config import ClusterConfig

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.mark.parametrize(
    "job", [None, {"runtime_env": {}, "metadata": {"job_submission_id": "raysubmit_1"}}]
)
def test_our_packages_travel_where_no_job_has_uploaded_them(
    job: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(JOB, raising=False)
    if job is not None:
        monkeypatch.setenv(JOB, json.dumps(job))
    packages = [Path(package) for package in code_for_others()["py_modules"]]
    assert {package.name for package in packages} == {
        "videothinker",
        "actors",
        "learner",
        "cluster",
    }
    assert all((package / "__init__.py").is_file() for package in packages)


def test_what_a_job_has_uploaded_does_not_travel_again(monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = {"runtime_env": {"working_dir": "gcs://_ray_pkg_0123456789abcdef.zip"}}
    monkeypatch.setenv(JOB, json.dumps(uploaded))
    assert code_for_others() == {}


def test_sigterm_stays_what_it_was_when_ray_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(cluster: ClusterConfig, room_gb: float | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    monkeypatch.setattr("cluster.launch.start_ray", start)
    before = signal.getsignal(signal.SIGTERM)
    with ray_running(ClusterConfig()):
        assert signal.getsignal(signal.SIGTERM) is before


def test_ray_is_told_how_large_its_store_is_where_the_machine_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cluster.launch.memory_here", lambda: 10.0)
    assert store_bytes(2.5) == 2_500_000_000
    assert store_bytes(3.1) is None
    assert store_bytes(None) is None
