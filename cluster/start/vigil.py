"""Whether the Ray that we use is still there: seen in moments, where its own code would wait.

Without its raylet or its agents Ray's code ends this process within a second, at the next object
that it looks for; without its GCS within a minute, and nothing new can be started meanwhile.
"""

from __future__ import annotations

import itertools
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import ray
from ray.exceptions import RayError

from cluster.start.connecting import listens
from videothinker.errors import Lost, RayLost, VideoThinkerError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
CLUSTER_TURNS = 5
"""It is asked at every fifth look."""
SETTLE_SECONDS = 2.0
"""An error of a call may come before the loss is seen that it comes from."""
RAYLET_SECONDS, HEAD_SECONDS = 2.0, 30.0
"""How long a cluster's raylet and head may not listen. A head that is started again may go on with
its records; Ray's code would end this process after 60."""

Look = Callable[[float], str | None]
"""Waits so many seconds at most; what is lost, or nothing."""


class Vigil:
    """A thread that looks, and tells once what is lost to all who want to know."""

    def __init__(self, look: Look, error: type[VideoThinkerError]) -> None:
        self._look = look
        self._error = error
        self._told: list[Callable[[VideoThinkerError], None]] = []
        self._lock = threading.Lock()
        self._seen, self._over = threading.Event(), threading.Event()
        self.lost: VideoThinkerError | None = None
        self._thread = threading.Thread(target=self._keep, name="vigil", daemon=True)
        self._thread.start()

    def tell(self, heed: Callable[[VideoThinkerError], None]) -> None:
        """Who is told; at once where it is lost already."""
        with self._lock:
            self._told.append(heed)
            if self.lost is not None:
                heed(self.lost)

    def close(self) -> None:
        """What ends from now on is meant to."""
        self._over.set()
        self._thread.join()

    @contextmanager
    def named(self) -> Iterator[None]:
        """Errors inside the block that come of the loss become its own."""
        try:
            yield
        except (RayError, Lost) as error:
            self._seen.wait(SETTLE_SECONDS)
            if self.lost is not None:
                raise self.lost from error
            raise

    def _keep(self) -> None:
        while not self._over.is_set():
            if (what := self._look(LOOK_SECONDS)) is not None:
                # now: Ray's code may end this process, too
                logger.warning("%s; where this command ends with it, the same one goes on", what)
                with self._lock:
                    self.lost = self._error(what)
                    self._seen.set()
                    for heed in self._told:
                        heed(self.lost)
                return


def over_own(parts: list[psutil.Process], logs: str) -> Vigil:
    """Over a Ray of ours. With a part of it all of it is ended, the GCS first: it would say to this
    process that objects are lost, and looking for those is what ends it.
    """
    names = {part.pid: title(part) for part in parts}
    first = sorted(names, key=lambda pid: names[pid] != "gcs_server")
    if not hasattr(os, "pidfd_open"):
        return Vigil(lambda seconds: time.sleep(seconds), RayLost)
    try:
        handles = {os.pidfd_open(pid): names[pid] for pid in first}
    except ProcessLookupError as error:
        raise RayLost(f"Ray lost a process at once (its last words are in {logs})") from error
    waiting = select.poll()
    for handle in handles:
        waiting.register(handle, select.POLLIN)

    def look(seconds: float) -> str | None:
        ended = waiting.poll(1000 * seconds)
        if not ended:
            return None
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        return (
            f"Ray lost {' and '.join(handles[handle] for handle, _ in ended)}, perhaps killed for"
            f" want of memory (Ray's last words are in {logs})"
        )

    return Vigil(look, RayLost)


def title(part: psutil.Process) -> str:
    """What a part of Ray is called."""
    with suppress(psutil.Error):  # it has ended
        name = str(part.name())
        return name if name in ("gcs_server", "raylet") else "an agent of the raylet"
    return "a process"


def over_cluster(address: str) -> Vigil:
    """Over somebody else's Ray: its raylet on this machine, and its head."""
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    raylet = Listening(
        f"cluster {address}: its raylet on this machine",
        node["NodeManagerAddress"],
        int(node["NodeManagerPort"]),
        RAYLET_SECONDS,
    )
    head = Listening(f"cluster {address}: its head", host, int(port), HEAD_SECONDS)
    return Vigil(looking_at([raylet, head]), VideoThinkerError)


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a part of Ray listens, and how long it may not."""

    name: str
    host: str
    port: int
    patience: float


def looking_at(places: Sequence[Listening]) -> Look:
    """Whether somebody takes a connection there."""
    heard = dict.fromkeys(places, time.monotonic())
    turns = itertools.count()

    def look(seconds: float) -> str | None:
        time.sleep(seconds)
        if next(turns) % CLUSTER_TURNS:
            return None
        for place in places:
            if listens(place.host, place.port):
                heard[place] = time.monotonic()
            elif time.monotonic() - heard[place] > place.patience:
                return f"{place.name} is gone"
        return None

    return look
