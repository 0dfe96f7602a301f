"""How the server is ended, with programs that take its place."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cluster.verbs import serve

SERVER = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
"""Does not heed SIGTERM, as vLLM's while its engine starts, and has started another process."""


@pytest.mark.parametrize(
    ("heeds", "code"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", -signal.SIGKILL)]
)
def test_it_ends_by_ctrl_c_or_else_is_killed_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heeds: str, code: int
) -> None:
    monkeypatch.setattr(serve, "END_SECONDS", 2.0 if heeds == "SIG_IGN" else 60.0)
    with (
        (tmp_path / "said").open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, heeds],
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        ) as server,
    ):
        assert server.stdout
        child = psutil.Process(int(server.stdout.readline()))
        serve.end(server)
    assert server.returncode == code
    psutil.wait_procs([child], 10)
    assert not child.is_running()
