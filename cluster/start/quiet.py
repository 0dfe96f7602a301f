"""What Ray's own code in this process says goes into Ray's logs alone, not to the user's terminal.

Ray's C++ code has no setting for that: whatever else is configured, it writes its errors to the
standard error of C as well as into the driver's log (RAY/logs/python-core-driver-*.log).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ray._private import auto_init_hook, utils, worker

from cluster.start.own_ray import replaced

ASKED_FOR = "RAY_BACKEND_LOG_LEVEL"
"""Ray's variable: whoever sets it wants to see that log."""


def tame_ray() -> None:
    """From now on it says nothing on stdout, which is for results, and starts only when asked to.

    Usually a call that comes when it has been shut down makes it start another one, dashboard and
    all, which nobody would end.
    """
    # what it says of lost processes; we say it ourselves
    worker.print_to_stdstream = lambda *_, **__: None
    auto_init_hook.enable_auto_connect = False


@contextmanager
def keeping_sigterm() -> Iterator[None]:
    """A SIGTERM means inside the block, and afterwards, what it has meant before.

    Ray in Python would exit with 15 and say nothing; Ray in C++ prints a stack, and may abort. That
    is done while a driver connects, where nothing is started, so that the signal can wait.
    """
    handler, usual = signal.getsignal(signal.SIGTERM), worker.connect

    def connect(*arguments: Any, **options: Any) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            usual(*arguments, **options)
        finally:
            signal.signal(signal.SIGTERM, handler)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    with replaced(
        (utils, "set_sigterm_handler", lambda _: None),
        (worker, "connect", connect),
    ):
        yield


@contextmanager
def quiet_errors() -> Iterator[None]:
    """Whoever takes the standard error of C inside the block writes nowhere, also afterwards.

    Ray's log takes it when a driver connects, and keeps it. Python's own is another.
    """
    if sys.platform != "linux" or os.environ.get(ASKED_FOR):
        yield
        return
    taken = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")
    usual = taken.value
    taken.value = nowhere()
    try:
        yield
    finally:
        taken.value = usual


@cache
def nowhere() -> int:
    """A stream of C's whose end is not seen."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    return int(libc.fopen(os.devnull.encode(), b"w"))
