"""Writes down how long Python stood still to collect garbage, in every process that has this folder
on PYTHONPATH: GC_PAUSES/PID, "collections, seconds of all, seconds of the longest lately".

"Lately" is since the file was read, which whoever reads it says by removing it.
"""

import gc
import os
import runpy
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
COUNTED = Path(os.environ["GC_PAUSES"]) / str(os.getpid())


class Pauses:
    """Of this process."""

    def __init__(self) -> None:
        self.count, self.total, self.longest, self.began, self.written = 0, 0.0, 0.0, 0.0, 0.0

    def __call__(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self.began = now
            return
        self.count += 1
        self.total += now - self.began
        self.longest = max(self.longest, now - self.began)
        if now - self.written > 1:
            self.write(now)

    def write(self, now: float) -> None:
        if not COUNTED.exists():
            self.longest = now - self.began
        COUNTED.write_text(f"{self.count} {self.total} {self.longest}")
        self.written = now


gc.callbacks.append(Pauses())
for folder in sys.path:  # Python runs only the first of this name
    other = Path(folder) / "sitecustomize.py"
    if Path(folder) != FOLDER and other.is_file():
        runpy.run_path(str(other))
        break
