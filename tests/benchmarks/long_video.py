"""An hour of 1080p at 768 frames: seconds and memory to read it, beside bare decord.

    python tests/benchmarks/long_video.py [MINUTES]

The clip is one minute, encoded here, whose packets are written over and over. Each reading is a
process of its own, three of each in turns; decord only decodes and shrinks the same frames.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from long_videos import repeat, write_minute

from videothinker import cpu_torch

BUDGET = {
    "fps": 2.0,
    "min_frames": 4,
    "max_frames": 768,
    "min_pixels": 48 * 28 * 28,
    "max_pixels": 128 * 28 * 28,
    "total_pixels": 24576 * 28 * 28,
}
"""As in Qwen2.5-VL's report."""
ROUNDS = 3


def ours(path: Path) -> list[int]:
    """Indices of the frames that are read."""
    from videothinker.video.frames import FrameBudget, read_clip

    clip = read_clip(path, FrameBudget(**BUDGET))
    return [*clip.frames.shape, *clip.metadata["frames_indices"]]


def decords(path: Path) -> list[int]:
    """The same frames by decord, shrunk alike, one after the other."""
    import decord

    from videothinker.video.frames import FrameBudget, Shrinker, chosen_frames

    reader = decord.VideoReader(str(path), num_threads=1)
    budget = FrameBudget(**BUDGET)
    indices, _ = chosen_frames(budget, len(reader), reader.get_avg_fps(), None, None)
    shrink = Shrinker(budget, len(indices))
    frames = np.stack([shrink(reader[index].asnumpy()) for index in indices])
    return [*frames.shape, *indices]


def read(way: str, path: Path) -> dict[str, Any]:
    """In this process: seconds, gigabytes at most, and what was read."""
    cpu_torch.install()
    started = time.monotonic()
    found = {"ours": ours, "decord": decords}[way](path)
    seconds = time.monotonic() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "gb": most, "shape": found[:4], "indices": found[4:]}


def main(minutes: int) -> dict[str, Any]:
    """Both ways in turns."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "decord": []}
    with tempfile.TemporaryDirectory() as folder:
        minute, whole = Path(folder) / "minute.mp4", Path(folder) / "whole.mp4"
        write_minute(minute)
        repeat(minute, whole, minutes)
        print(f"{minutes} minutes, {whole.stat().st_size / 1e6:.0f} MB", file=sys.stderr)
        for number in range(ROUNDS):
            for way in list(found)[:: 1 if number % 2 == 0 else -1]:
                done = subprocess.run(
                    [sys.executable, __file__, "read", way, str(whole)],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                found[way].append(json.loads(done.stdout))
                print(way, f"{found[way][-1]['seconds']:.1f} s", file=sys.stderr)
    assert found["ours"][0]["indices"] == found["decord"][0]["indices"]
    seconds = {way: [round(one["seconds"], 1) for one in some] for way, some in found.items()}
    return {
        "minutes": minutes,
        "frames": found["ours"][0]["shape"],
        "seconds": seconds,
        "ours_over_decord": median(seconds["ours"]) / median(seconds["decord"]),
        "gb": {way: round(max(one["gb"] for one in some), 2) for way, some in found.items()},
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        print(json.dumps(read(sys.argv[2], Path(sys.argv[3]))))
    else:
        print(json.dumps(main(int(sys.argv[1]) if sys.argv[1:] else 60)))
