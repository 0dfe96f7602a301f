"""What Ray does by itself, and is not to: asked in a process that Ray's names can be changed in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[4]
TAKEN = """
import ctypes
from cluster.start.quiet import quiet_errors

libc = ctypes.CDLL(None)
stream = lambda: ctypes.c_void_p.in_dll(libc, "stderr")
with quiet_errors():
    taken = stream()
    taken = ctypes.c_void_p(taken.value)
for name, target in (("taken inside", taken), ("taken outside", stream())):
    libc.fputs(f"{name}\\n".encode(), target)
    libc.fflush(target)
"""
NO_RAY = """
from cluster.start.quiet import tame_ray
import ray

tame_ray()
try:
    ray.put(1)
except ray.exceptions.RaySystemError as error:
    print("refused:", error)
"""


def said(program: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout, done.stderr


def test_only_who_takes_the_stream_inside_writes_nowhere() -> None:
    _, err = said(TAKEN)
    assert "taken outside" in err
    assert "taken inside" not in err


def test_whoever_asks_for_rays_log_gets_it() -> None:
    _, err = said(TAKEN, RAY_BACKEND_LOG_LEVEL="info")
    assert "taken inside" in err


def test_a_call_without_a_ray_starts_none() -> None:
    out, _ = said(NO_RAY)
    assert out.startswith("refused:")
