from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CHILD = (
    "import os, signal; from videothinker.process.orphan import end_with_parent; end_with_parent();"
    " print(os.getpid(), flush=True); os.kill(os.getpid(), signal.SIGSTOP)"
)
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def state(pid: int) -> str:
    """As ps shows it; empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def reaches(pid: int, states: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if (now := state(pid)) in states or (not now and "gone" in states):
            return True
        time.sleep(0.01)
    return False


def test_a_stopped_process_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    try:
        assert reaches(child, "T")
        parent.kill()
        assert parent.wait() == -signal.SIGKILL
        assert reaches(child, "Z gone"), state(child)
    finally:
        if state(child):
            os.kill(child, signal.SIGKILL)
