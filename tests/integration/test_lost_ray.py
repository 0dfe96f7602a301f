"""A run whose own Ray loses its processes: a new one is started, and the run goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
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


def steps_of(run: Path) -> int:
    return len(read_lines(run / "metrics.jsonl"))


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


def test_a_run_goes_on_when_its_rays_processes_die(run_config: RunConfig, tmp_path: Path) -> None:
    file, run = tmp_path / "config.yaml", tmp_path / "run"
    file.write_text(to_yaml(small(run_config)))
    command = Command("train", file, f"out={run}")
    wait_for(lambda: steps_of(run) >= 1, command, LIMIT)
    first = part(command, "gcs_server")
    os.kill(first, signal.SIGKILL)
    wait_for(
        lambda: (read_json(run / "status.json").get("restarts") or {}).get("ray") == 1,
        command,
        LIMIT,
    )
    wait_for(lambda: read_json(run / "status.json")["state"] == "training", command, LIMIT)
    os.kill(part(command, "raylet"), signal.SIGKILL)
    code, _, err = command.finish(LIMIT)
    assert code == 0, err
    assert steps_of(run) == STEPS
    status = read_json(run / "status.json")
    assert (status["state"], status["error"], status["restarts"]["ray"]) == ("finished", None, 2)
    lost = [event for event in read_lines(run / "events.jsonl") if event["role"] == "ray"]
    told = [event["reason"].partition(",")[0] for event in lost]
    assert told == ["Ray lost gcs_server", "Ray lost raylet"]
    assert "Traceback" not in err, err
    assert "core_worker" not in err, err
    assert err.count("a new Ray is started") == 2
    assert command.all_gone()
