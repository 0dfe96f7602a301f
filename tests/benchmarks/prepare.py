"""From JSON Lines of one's own to prepared questions: seconds and memory of the command.

    python tests/benchmarks/prepare.py [--lines 1000000]

The lines ask in turn for a letter, several, a number, words and yes or no, about a thousand videos.
What others do on the machine is in the seconds of the wall, not in those of the processor. Progress
goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = 1000
ASKED: tuple[dict[str, Any], ...] = (
    {"options": ["A. it stops", "B. it rolls on", "C. it falls", "D. it turns"], "answer": "B"},
    {"options": ["red", "blue", "green", "brown"], "answer": "A,C"},
    {"answer": 4},
    {"answer": "a red cube and a sphere"},
    {"answer": "yes"},
)


def write(folder: Path, lines: int) -> Path:
    """The lines, and the videos that they name, which nobody opens."""
    (folder / "clips").mkdir()
    for number in range(VIDEOS):
        (folder / "clips" / f"video_{number:05}.mp4").touch()
    file = folder / "mine.jsonl"
    with file.open("w") as out:
        for number in range(lines):
            row = {
                "id": f"video_{number % VIDEOS:05}/q{number // VIDEOS}",
                "question": f"What happens to object {number} when the blue sphere enters?",
                "video": f"video_{number % VIDEOS:05}.mp4",
                "category": "inferential" if number % 2 else "observational",
                **ASKED[number % len(ASKED)],
            }
            out.write(json.dumps(row) + "\n")
    return file


def measure(folder: Path, lines: int) -> dict[str, float]:
    """The command in a process of its own, because of its memory."""
    file = write(folder, lines)
    command = [sys.executable, "-m", "videothinker", "prepare", "jsonl", str(file)]
    command += ["--videos", str(folder / "clips"), "--out", str(folder / "out")]
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, stdout=sys.stderr, check=True)
    wall = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "lines": lines,
        "seconds": wall,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }


def main() -> None:
    """One line of JSON on stdout."""
    parser = argparse.ArgumentParser(description="What preparing questions costs.")
    parser.add_argument("--lines", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="videothinker-prepare-") as place:
        print(json.dumps(measure(Path(place), given.lines)))


if __name__ == "__main__":
    main()
