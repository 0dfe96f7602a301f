from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from learner.extensions import GUARD, build_folder, load_guarded

KILLED = """
import time
from pathlib import Path
from learner.extensions import GUARD, load_guarded

class Compiling:
    name = "adam"
    def load(self, verbose):
        guard = Path({folder!r}) / self.name / GUARD
        guard.parent.mkdir()
        guard.touch()
        print("compiling", flush=True)
        time.sleep(60)

load_guarded(Compiling(), Path({folder!r}))
"""


class Builder:
    """As PyTorch does: waits for as long as there is a guard."""

    name = "adam"

    def __init__(self, folder: Path) -> None:
        self._guard = folder / self.name / GUARD
        self.loaded = False

    def load(self, verbose: bool = True) -> None:
        deadline = time.monotonic() + 2
        while self._guard.exists():
            assert time.monotonic() < deadline, "waits for a guard that belongs to nobody"
            time.sleep(0.01)
        self.loaded = True


@pytest.mark.timeout(20)
def test_who_is_killed_while_compiling_does_not_block_the_next(tmp_path: Path) -> None:
    code = KILLED.format(folder=str(tmp_path))
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert killed.stdout
    assert killed.stdout.readline() == "compiling\n"
    killed.kill()
    killed.wait()
    assert (tmp_path / "adam" / GUARD).exists()
    builder = Builder(tmp_path)
    load_guarded(builder, tmp_path)
    assert builder.loaded


def test_two_environments_do_not_compile_over_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    for prefix in ("/one/.venv", "/other/.venv"):
        monkeypatch.setattr("torch.__file__", f"{prefix}/torch/__init__.py")
        folders.add(build_folder.__wrapped__())
    assert len(folders) == 2
