"""A disk that fails, is slow or is watched, for a whole command or a part of this process.

tests/failing_disk.c has the calls between a program and the system; this compiles it and says what
it is to do, by the environment, which it reads at each call.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
NAMES = ("DISK_PATHS", "DISK_CALLS", "DISK_ERRNO", "DISK_DELAY", "DISK_LOG")


def preloaded(folder: Path) -> dict[str, str]:
    """The environment of a command whose disk may fail, with all processes that it starts."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here, which compiles the library that lets calls fail")
    library = folder / "failing_disk.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True, cwd=folder
    )
    # without the second, Ray takes the first from its workers
    return {"LD_PRELOAD": str(library), "RAY_LD_PRELOAD_ON_WORKERS": "1"}


def fault(
    paths: Path | str,
    *calls: str,
    error: int = 0,
    delay: int = 0,
    log: Path | None = None,
) -> dict[str, str]:
    """What happens to calls (open, write, fsync, rename, unlink, mkdir) on paths of a pattern: they
    end with an error, take so many milliseconds longer, or are only noted down."""
    values = (str(paths), ",".join(calls), str(error), str(delay), str(log or ""))
    return {name: value for name, value in zip(NAMES, values, strict=True) if value}


@contextmanager
def with_fault(environment: Mapping[str, str]) -> Iterator[None]:
    """In this process, which has the library, for the time of a block."""
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment:
            del os.environ[name]


FULL, BROKEN, READ_ONLY = errno.ENOSPC, errno.EIO, errno.EROFS
