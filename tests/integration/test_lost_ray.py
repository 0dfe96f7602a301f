"""A run whose own Ray loses its processes: a new one is started, and the run goes on."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest
from cli_process import Command, wait_for

from videothinker.config.loading import to_yaml
from videothinker.config.settings import FaultsConfig, RunConfig
from videothinker.files import read_json, read_lines

STEPS, LIMIT = 4, 600.0


def part(command: Command, name: str) -> int:
    """The living process of a command that calls itself so."""
    [found] = [
        pid
        for pid in command.living()
        if Path(psutil.Process(pid).cmdline()[0]).name.strip() == name
    ]
    return found


def small(config: RunConfig) -> RunConfig:
    """A stage, a state after each of its steps, nobody asked in between."""
    return config.model_copy(
        update={
            "stages": (config.stages[0].model_copy(update={"steps": STEPS}),),
            "data": config.data.model_copy(update={"validation": None}),
            "learner": config.learner.model_copy(update={"save_every": 1}),
            "faults": FaultsConfig(backoff_seconds=0),
        }
    )


@pytest.mark.parametrize(
    "parts", [("raylet",), pytest.param(("gcs_server", "raylet"), marks=pytest.mark.slow)]
)
def test_a_run_goes_on_when_its_rays_processes_die(
    parts: tuple[str, ...], run_config: RunConfig, tmp_path: Path
) -> None:
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(to_yaml(small(run_config)))
    command = Command("train", file, f"out={run}")

    def trains_after(losses: int) -> bool:
        status = read_json(run / "status.json")
        lost = (status.get("restarts") or {}).get("ray", 0)
        return lost == losses and status.get("state") == "training"

    for losses, name in enumerate(parts):
        wait_for(partial(trains_after, losses), command, LIMIT)
        os.kill(part(command, name), signal.SIGKILL)
    code, _, err = command.finish(LIMIT)
    assert code == 0, err
    assert len(read_lines(run / "metrics.jsonl")) == STEPS
    status = read_json(run / "status.json")
    assert (status["state"], status["error"]) == ("finished", None)
    lost = [event["reason"] for event in read_lines(run / "events.jsonl") if event["role"] == "ray"]
    assert [reason.partition(",")[0] for reason in lost] == [f"Ray lost {name}" for name in parts]
    assert "Traceback" not in err, err
    assert "core_worker" not in err, err
    assert err.count("a new Ray is started") == len(parts)
    assert command.all_gone()
