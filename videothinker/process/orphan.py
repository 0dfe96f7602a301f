"""A worker ends with the process that started it.

Ray's workers look whether their node still lives. One that is stopped cannot look, and would keep
its memory for ever after its driver was killed; so the kernel is asked to see to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>."""


def end_with_parent() -> None:
    """From now on this process is killed when its parent ends, however that happens; Linux only."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended while we asked
        os.kill(os.getpid(), signal.SIGKILL)
