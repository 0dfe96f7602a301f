"""What a run brings to the Ray that it starts or joins, and what it keeps of its own."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
import ray

from cluster.start.launch import (
    Crew,
    beside_learner,
    code_for_others,
    ray_running,
    worker_environment,
)
from cluster.start.vigil import Vigil
from videothinker.config.loading import load_config
from videothinker.config.settings import ClusterConfig, FaultsConfig, RolloutConfig
from videothinker.errors import RayLost

CONFIGS = Path(__file__).parents[4] / "configs"
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
    def start(cluster: ClusterConfig, mark: str, room_gb: float | None) -> Vigil:
        ray._private.utils.set_sigterm_handler(signal.SIG_IGN)
        return Vigil(lambda seconds: time.sleep(seconds), RayLost)

    monkeypatch.setattr("cluster.start.launch.start_ray", start)
    before = signal.getsignal(signal.SIGTERM)
    with ray_running(ClusterConfig()):
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("override", "beside"),
    [
        ("rollout.max_staleness=0", 0),
        ("rollout.max_staleness=1", 5),
        ("rollout.max_staleness=1 rollout.tensor_parallel=2", 8),
        ("cluster.device=cuda", 0),
    ],
)
def test_a_learner_has_company_only_where_others_need_not_wait_for_it(
    override: str, beside: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    config = load_config(CONFIGS / "quickstart.yaml", override.split())
    assert beside_learner(config, 3, 2) == beside


def test_threads_that_somebody_has_set_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert beside_learner(load_config(CONFIGS / "quickstart.yaml"), 1, 1) is None


@pytest.mark.parametrize(
    ("environment", "beside"), [({}, 0), ({"OMP_NUM_THREADS": "1", "OTHER": "2"}, None)]
)
def test_in_a_job_those_count_that_its_submission_names(
    environment: dict[str, str], beside: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray sets one for the process that starts the driver, and so for the driver."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": {"env_vars": environment}}))
    assert beside_learner(load_config(CONFIGS / "quickstart.yaml"), 1, 1) == beside


def test_every_process_begins_with_one_thread() -> None:
    """Not with what Ray sets for an actor that asks for no core, which happens to be the same."""
    assert worker_environment()["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("sleep", [False, True])
def test_engines_sleep_where_the_configuration_says_so(sleep: bool) -> None:
    with closing(Crew(FaultsConfig(), "cpu")) as crew:
        rollouts = crew.rollouts(Path("model"), "float32", RolloutConfig(sleep=sleep), 8, count=0)
        assert rollouts.sleeping == sleep
