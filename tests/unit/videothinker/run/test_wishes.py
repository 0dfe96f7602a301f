"""Wishes to a live run: asked, answered, refused, forgotten."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from videothinker.errors import InputError, VideoThinkerError
from videothinker.run import wishes
from videothinker.run.directory import WISH, RunDirectory
from videothinker.run.lock import locked


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run", "name: test\n")
    run.status(state="training", stage="grpo", step=4)
    run.record({"stage": "grpo", "step": 4, "seconds": {"total": 12.3}})
    return run


@contextmanager
def driver(run: RunDirectory, then: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Holds the run until somebody wishes something, does something then, and lets go."""
    ready, end = threading.Event(), threading.Event()

    def drive() -> None:
        with locked(run.path):
            ready.set()
            while not (wish := wishes.read_wish(run.path)):
                if end.wait(0.01):
                    return
            then(wish)

    thread = threading.Thread(target=drive)
    thread.start()
    ready.wait()
    yield
    end.set()
    thread.join()


def test_stop_waits_until_the_driver_has_let_go_and_returns_its_last_word(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    def stops(wish: dict[str, Any]) -> None:
        assert wish["stop"] is True
        time.sleep(0.5)
        run.status(state="stopped", step=5)

    with driver(run, stops):
        status = wishes.stop(run.path, seconds=20)
    assert (status["state"], status["step"]) == ("stopped", 5)
    assert "the last step took 12 s" in capsys.readouterr().err


def test_a_stop_that_takes_longer_than_its_limit_says_how_long_steps_take(
    run: RunDirectory,
) -> None:
    late = threading.Event()
    with driver(run, lambda wish: late.wait() and None):
        with pytest.raises(VideoThinkerError, match=r"within 0.3 s, and still will; .* 12 s"):
            wishes.stop(run.path, seconds=0.3)
        assert wishes.read_wish(run.path)["stop"], "the wish stands"
        late.set()


def test_without_locks_a_stop_is_believed_to_its_answer_and_the_last_word(
    run: RunDirectory,
) -> None:
    def answer() -> None:
        while not (wish := wishes.read_wish(run.path)):
            time.sleep(0.01)
        run.status(control={"id": wish["id"]})
        time.sleep(0.3)
        run.status(state="stopped")

    thread = threading.Thread(target=answer)
    thread.start()
    assert wishes.stop(run.path, seconds=20)["state"] == "stopped"
    thread.join()


def test_a_run_that_fails_before_it_could_stop_is_no_success(run: RunDirectory) -> None:
    with (
        driver(run, lambda wish: run.status(state="failed", error="no disk") and None),
        pytest.raises(VideoThinkerError, match="failed before it could stop: no disk"),
    ):
        wishes.stop(run.path, seconds=20)


def test_nobody_waits_for_the_answer_of_a_run_that_nobody_drives(run: RunDirectory) -> None:
    with locked(run.path):
        pass
    started = time.monotonic()
    for wish in (lambda: wishes.stop(run.path, 60), lambda: wishes.scale(run.path, 2, None)):
        with pytest.raises(VideoThinkerError, match="nobody answers; its state is 'training'"):
            wish()
    assert time.monotonic() - started < 5
    assert not (run.path / WISH).exists(), "a wish was left behind"


def test_a_driver_that_dies_before_it_answers_is_not_waited_for(run: RunDirectory) -> None:
    started = time.monotonic()
    with (
        driver(run, lambda wish: None),
        pytest.raises(VideoThinkerError, match="nobody answers"),
    ):
        wishes.scale(run.path, 2, None)
    assert time.monotonic() - started < 5
    assert not (run.path / WISH).exists(), "a wish was left behind"


def test_a_run_that_is_about_to_stop_is_not_scaled(run: RunDirectory) -> None:
    (run.path / WISH).write_text(json.dumps({"id": "a", "stop": True}))
    with locked(run.path), pytest.raises(VideoThinkerError, match="about to stop"):
        wishes.scale(run.path, 2, None)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run"):
        wishes.stop(tmp_path, 1)


def test_a_stop_meant_for_an_earlier_driver_is_forgotten_and_a_scaling_is_not(
    run: RunDirectory,
) -> None:
    file = run.path / WISH
    file.write_text(json.dumps({"id": "a", "rollouts": 2, "scorers": None}))
    RunDirectory.open(run.path)
    assert wishes.read_wish(run.path)
    file.write_text(json.dumps({"id": "b", "stop": True}))
    RunDirectory.open(run.path)
    assert not wishes.read_wish(run.path)
