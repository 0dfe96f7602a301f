"""One driver for a run at a time; and the command that began a run goes on with it.

RUN/driver.lock    locked for as long as a driver lives: the kernel lets go of it however that one
                   ends. It says who holds it, or held it last
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from videothinker.config.loading import first_difference, load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError
from videothinker.files import disk_errors, read_json
from videothinker.run.copies import RunCopy
from videothinker.run.directory import DRIVER_LOCK, RunDirectory

ENDED = ("finished", "failed", "interrupted", "stopped")
"""States that a driver writes when it leaves."""

logger = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that has none."""
GLANCE_SECONDS = 1.0
"""Whoever only looks whether a run is driven holds its lock for less."""
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""What Ray's job server tells the process it starts."""


@contextmanager
def driving(config: RunConfig, resume: Path | None = None) -> Iterator[RunDirectory]:
    """The run of a configuration, new or gone on with, and nobody else's inside the block.

    InputError where it is another's at the moment, is finished, or is of another configuration.
    """
    path = resume or config.out
    if not (path / "config.yaml").is_file():
        RunDirectory.require_empty(path)
    with locked(path):
        copy = None if config.copy_to is None else RunCopy(config.copy_to)
        if not (path / "config.yaml").is_file():
            if copy is None or (newest := copy.newest()) is None:
                yield RunDirectory.create(path, to_yaml(config))
                return
            sys.stderr.write(f"fetching {path} from {copy.address}, copy {newest['number']}\n")
            copy.fetch(newest, path, config)
        elif copy is not None:
            copy.require_ours(path)
        require_same(config, path)
        if finished_summary(path) is not None:
            raise InputError(
                f"{path}: this run is finished; its results are in {path / 'report.html'}. Remove"
                " the folder to train it again, or give another: out=DIR"
            )
        sys.stderr.write(f"going on with {path}, {where_it_stopped(path)}\n")
        yield RunDirectory.open(path)


def require_same(config: RunConfig, path: Path) -> None:
    """InputError, with the first setting that differs, where a run has another configuration."""
    difference = first_difference(config, load_config(path / "config.yaml"))
    if difference is not None:
        raise InputError(
            f"{path}: holds a run of another configuration: {difference}. Give the same to go on"
            f" with it (`videothinker train --resume {path}` takes its own), or another folder:"
            " out=DIR"
        )


def finished_summary(path: Path) -> dict[str, Any] | None:
    """The summary of a run that came to its end."""
    summary = read_json(path / "summary.json")
    return summary if "finished" in summary else None


def where_it_stopped(path: Path) -> str:
    """The end of a sentence that begins with a run's name: how far its last driver came."""
    status = read_json(path / "status.json")
    if "stage" not in status:
        return "which had not begun to train"
    return f"which was {status['state']} at step {status['step']} of stage {status['stage']}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A run's folder, made if missing, that nobody else drives inside the block."""
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        file = (path / DRIVER_LOCK).open("a+")
    with file:
        deadline = time.monotonic() + GLANCE_SECONDS
        while (taken := _try(file, fcntl.LOCK_EX)) is False:
            if time.monotonic() > deadline:
                raise InputError(
                    f"{path}: {holder(path)} is driving this run. Look at it with `videothinker"
                    f" status {path}`, end it with `videothinker stop {path}`, or give another"
                    " folder: out=DIR"
                )
            time.sleep(0.05)
        if taken is None:
            logger.warning("%s: no locks on this file system; see that nobody drives it too", path)
        with disk_errors(path / DRIVER_LOCK):
            file.truncate(0)
            os.write(file.fileno(), f"{json.dumps(_myself())}\n".encode())  # or close tries again
        yield


def holder(path: Path) -> str:
    """Who drives a run, or drove it last, for a person."""
    try:
        found = json.loads((path / DRIVER_LOCK).read_text())
        since = time.strftime("%H:%M:%S", time.localtime(found["since"]))
        job = f", Ray job {found['job']}," if found["job"] else ""
        return f"process {found['pid']} on {found['host']}{job} since {since}"
    except (OSError, ValueError, KeyError):  # it has only just taken the lock
        return "another process"


def ray_job() -> dict[str, Any]:
    """What Ray's job server told this process of its job: "metadata", "runtime_env"; or nothing."""
    told: dict[str, Any] = json.loads(os.environ.get(JOB) or "{}")
    return told


def _myself() -> dict[str, Any]:
    job = ray_job().get("metadata", {}).get("job_submission_id")
    host = socket.gethostname()
    return {"pid": os.getpid(), "host": host, "job": job, "since": time.time()}


def _try(file: TextIO, kind: int) -> bool | None:
    """Whether the lock was free, and is now ours; None where the file system has no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def driven(run: Path) -> bool | None:
    """Whether a driver holds the run's lock; None where there is none, or no locks at all."""
    try:
        with (run / DRIVER_LOCK).open() as file:
            free = _try(file, fcntl.LOCK_SH)
    except OSError:
        return None
    return None if free is None else not free
