"""What Ray consists of is watched: its loss is told at once, and to everybody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from ray.exceptions import RaySystemError

from cluster.start.own_ray import MARK, end_own, marked, parts_of
from cluster.start.vigil import Listening, Vigil, looking_at, over_own
from videothinker.errors import Lost, RayLost, VideoThinkerError

SOON = 30.0
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


class Heard:
    """What was told, and waits for it."""

    def __init__(self) -> None:
        self.lost: VideoThinkerError | None = None
        self._told = threading.Event()

    def __call__(self, lost: VideoThinkerError) -> None:
        self.lost = lost
        self._told.set()

    def wait(self) -> str:
        assert self._told.wait(SOON)
        return str(self.lost)


@pytest.fixture
def parts() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that stand for Ray's."""
    started = [subprocess.Popen(SLEEP) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def over(parts: list[subprocess.Popen[bytes]]) -> Vigil:
    return over_own([psutil.Process(part.pid) for part in parts], "/logs")


def test_a_part_that_ends_is_told_with_where_to_look(parts: list[subprocess.Popen[bytes]]) -> None:
    vigil, heard, late = over(parts), Heard(), Heard()
    vigil.tell(heard)
    parts[0].kill()
    assert heard.wait().startswith("Ray lost an agent of the raylet")
    assert "/logs" in heard.wait()
    assert isinstance(heard.lost, RayLost)
    vigil.tell(late)
    assert late.lost is heard.lost
    vigil.close()


def test_the_others_are_ended_with_it(parts: list[subprocess.Popen[bytes]]) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    vigil = over(parts)
    parts[1].kill()
    assert parts[0].wait(SOON) == -9
    vigil.close()
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_an_end_that_is_meant_is_not_told(parts: list[subprocess.Popen[bytes]]) -> None:
    vigil, heard = over(parts), Heard()
    vigil.tell(heard)
    vigil.close()
    parts[0].kill()
    parts[0].wait()
    assert heard.lost is None
    assert parts[1].poll() is None


@pytest.mark.parametrize("error", [RaySystemError("not started"), Lost("loader-0, preparing")])
def test_errors_that_come_of_the_loss_are_named_after_it(error: Exception) -> None:
    vigil = Vigil(lambda _: "raylet", RayLost)
    with pytest.raises(RayLost, match="raylet"), vigil.named():
        raise error
    vigil.close()


def test_errors_without_a_loss_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.start.vigil.SETTLE_SECONDS", 0.01)
    vigil = Vigil(lambda seconds: time.sleep(seconds), RayLost)
    with pytest.raises(Lost, match="loader-0"), vigil.named():
        raise Lost("loader-0, preparing")
    vigil.close()


def seen(look: Callable[[float], str | None]) -> str:
    deadline = time.monotonic() + SOON
    while time.monotonic() < deadline:
        if (found := look(0.01)) is not None:
            return found
    raise AssertionError("not seen")


def test_a_place_of_a_cluster_that_takes_no_connection_is_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        look = looking_at([Listening("its head", "127.0.0.1", server.getsockname()[1], 0.1)])
        assert [look(0.01) for _ in range(12)] == [None] * 12
    assert seen(look) == "its head is gone"


def test_whatever_a_start_has_begun_can_be_ended() -> None:
    with marked("one"):
        child = subprocess.Popen(
            [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP!r})"]
        )
    with marked("other"):
        other = subprocess.Popen(SLEEP)
    deadline = time.monotonic() + SOON
    while len(parts_of("one")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(parts_of("one")) == 2
    end_own("one")
    assert not parts_of("one")
    child.wait()
    assert other.poll() is None
    other.kill()
    other.wait()


def test_what_a_marked_one_has_started_belongs_to_it_without_a_mark() -> None:
    code = f"import subprocess; subprocess.run({SLEEP!r}, env={{}})"
    with marked("one"):
        parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + SOON
    while len(parts_of("one")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    _, child = parts_of("one")
    end_own("one")
    parent.wait()
    assert not child.is_running()


def test_the_mark_is_no_longer_given_afterwards() -> None:
    with marked("one"):
        assert os.environ[MARK] == "one"
    assert MARK not in os.environ
