"""A tracker that fails, hangs, prints or dies, in place of a library: the run does not notice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tracked_runs import models, new_run, steps, told, wait_until_told

from videothinker.run.directory import RunDirectory
from videothinker.tracking import beside
from videothinker.tracking.beside import tracked

Stand = Callable[[str], None]
FAITHFUL = """
import json, os, time
def say(*words):
    with open(os.environ["SAID"], "a") as file:
        file.write(json.dumps(words) + "\\n")
class Run:
    def __init__(self, id): self.id = id or "new-id"
    def define_metric(self, *names, **more): pass
    def log(self, numbers, step): say("log", numbers, step)
    def finish(self, exit_code): say("finish", exit_code)
def init(**given):
    say("init", given["project"], given["name"], given["id"], given["config"]["seed"])
    return Run(given["id"])
"""
PRINTING = FAITHFUL + "print('hello'); os.system('echo hello')\n"
RAISING = (
    FAITHFUL
    + """
import atexit
atexit.register(lambda: (print("goodbye"), time.sleep(600)))
Run.log = lambda self, numbers, step: 1 / 0
"""
)
HANGING = FAITHFUL + "Run.finish = lambda self, exit_code: time.sleep(600)\n"
NEVER_BEGINNING = "import time; time.sleep(600)\n"
CRASHING = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n"
LEAVING = "import sys; sys.exit(0)\n"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path)


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Puts a module in wandb's place."""
    place = tmp_path / "libraries"
    place.mkdir()
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.setenv("SAID", str(tmp_path / "said.jsonl"))
    monkeypatch.delenv("TRACKERS_VENV", raising=False)
    return lambda source: place.joinpath("wandb.py").write_text(source) and None


def said(tmp_path: Path) -> list[list[object]]:
    return [json.loads(line) for line in (tmp_path / "said.jsonl").read_text().splitlines()]


def test_a_run_is_told_step_by_step_and_its_results(
    run: RunDirectory, stand: Stand, tmp_path: Path
) -> None:
    stand(FAITHFUL)
    with tracked(["wandb"], run.path):
        steps(run, "bias", [1])
        wait_until_told(run, "wandb", "bias", 1)
        steps(run, "bias", [2])
        models(run, bias=0.5)
    assert said(tmp_path) == [
        ["init", "videothinker", "trial", None, 42],
        ["log", {"bias/step": 1, "bias/reward": 0.125, "bias/learner/memory_gb": 1.5}, 0],
        ["log", {"bias/step": 2, "bias/reward": 0.25, "bias/learner/memory_gb": 1.5}, 1],
        ["log", {"bias/step": 2, "bias/results/overall/mean": 0.5}, 2],
        ["finish", 0],
    ]


def test_a_resumed_run_is_the_same_one_and_told_only_what_is_new(
    run: RunDirectory, stand: Stand, tmp_path: Path
) -> None:
    stand(FAITHFUL)
    with suppress(KeyboardInterrupt), tracked(["wandb"], run.path):
        steps(run, "bias", [1, 2])
        raise KeyboardInterrupt
    with tracked(["wandb"], run.path):
        steps(run, "bias", [3])
    words = [(word, *rest[:3]) for word, *rest in said(tmp_path)]
    assert [one for one in words if one[0] != "log"] == [
        ("init", "videothinker", "trial", None),
        ("finish", 1),
        ("init", "videothinker", "trial", "new-id"),
        ("finish", 0),
    ]
    logged = [(one[1]["bias/step"], one[2]) for one in words if one[0] == "log"]
    assert logged == [(1, 0), (2, 1), (3, 2)]


def test_names_that_the_environment_gives_hold(
    run: RunDirectory, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(FAITHFUL)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_NAME", "second try")
    with tracked(["wandb"], run.path):
        pass
    assert said(tmp_path)[0][:3] == ["init", "mine", "second try"]


def test_what_a_library_prints_goes_into_its_log(
    run: RunDirectory, stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    stand(PRINTING)
    with tracked(["wandb"], run.path):
        pass
    assert capfd.readouterr() == ("", "")
    assert (run.path / "trackers" / "wandb.log").read_text() == "hello\n" * 2


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (RAISING, "ZeroDivisionError: division by zero"),
        (CRASHING, "SIGSEGV"),
        (LEAVING, "exit code 0"),
    ],
)
def test_a_tracker_that_ends_is_warned_of_once_and_the_run_goes_on(
    source: str,
    reason: str,
    run: RunDirectory,
    stand: Stand,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand(source)
    steps(run, "bias", [1])
    with tracked(["wandb"], run.path):
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.05)
        steps(run, "bias", [2])
    [warning] = caplog.messages
    assert warning.startswith(f"report_to: wandb failed, and the run goes on without it: {reason}")
    assert warning.endswith(f"{run.path}/trackers/wandb.log)")


@pytest.mark.parametrize("source", [HANGING, NEVER_BEGINNING])
def test_a_tracker_that_hangs_is_left_after_a_while(
    source: str,
    run: RunDirectory,
    stand: Stand,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside, "CLOSING_SECONDS", 2)
    stand(source)
    started = time.monotonic()
    with tracked(["wandb"], run.path):
        assert time.monotonic() - started < 1
    assert 2 <= time.monotonic() - started < 5
    [warning] = caplog.messages
    assert warning.startswith("report_to: wandb was not done 2 s after the run, and is left")


def test_one_that_fails_costs_the_others_nothing(
    run: RunDirectory, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand(CRASHING)
    with tracked(["wandb", "tensorboard"], run.path):
        steps(run, "bias", [1])
    assert told(run, "tensorboard")["steps"]["bias"][0] == 1
    assert len(caplog.messages) == 1


def test_an_interpreter_that_is_not_there_is_a_warning(
    run: RunDirectory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKERS_VENV", "/nowhere")
    with tracked(["wandb"], run.path):
        pass
    assert caplog.messages[0].startswith("report_to: wandb cannot be started: ")


def test_without_trackers_there_is_no_trace_of_any(run: RunDirectory) -> None:
    before = sorted(run.path.iterdir())
    with tracked([], run.path):
        pass
    assert sorted(run.path.iterdir()) == before


DRIVER = """
import sys, time
from pathlib import Path
from videothinker.tracking.beside import tracked
with tracked(["wandb"], Path(sys.argv[1])):
    time.sleep(600)
"""


def test_when_the_driver_is_killed_the_rest_is_told_and_the_process_ends(
    run: RunDirectory, stand: Stand, tmp_path: Path
) -> None:
    stand(FAITHFUL)
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(run.path)])
    steps(run, "bias", [1])
    wait_until_told(run, "wandb", "bias", 1)
    steps(run, "bias", [2])
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_until_told(run, "wandb", "bias", 2)
    deadline = time.monotonic() + 10
    while said(tmp_path)[-1] != ["finish", 1] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert said(tmp_path)[-1] == ["finish", 1]


ORPHAN = """
import time
from videothinker.tracking import __main__ as told_by
told_by.CLOSING_SECONDS, told_by.GRACE_SECONDS = 0, 1
told_by.End()
time.sleep(600)
"""


def test_one_that_hangs_after_the_driver_is_gone_ends_itself() -> None:
    orphan = subprocess.run([sys.executable, "-c", ORPHAN], stdin=subprocess.DEVNULL, timeout=20)
    assert orphan.returncode == -signal.SIGALRM
