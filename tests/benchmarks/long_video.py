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
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a bare checkout will do

import av
import numpy as np

from videothinker import cpu_torch

HEIGHT, WIDTH, FPS, SECONDS = 1080, 1920, 24, 60
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


def write_minute(path: Path) -> None:
    """Something that moves over something that does not, as films have it."""
    luck = np.random.default_rng(7)
    still = luck.integers(0, 255, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    ground = still.repeat(20, axis=0).repeat(20, axis=1)
    options = {"preset": "ultrafast", "g": "240", "crf": "28"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = ground.copy()
            left = number * 5 % (WIDTH - 200)
            picture[400:600, left : left + 200] = (number % 255, 80, 200)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def repeat(minute: Path, path: Path, times: int) -> None:
    """The minute's packets over and over, without encoding anything again."""
    with av.open(str(path), "w") as target:
        stream, shift = None, 0
        for _ in range(times):
            with av.open(str(minute)) as source:
                given = source.streams.video[0]
                stream = stream or target.add_stream_from_template(given)
                base = given.time_base or Fraction(1, FPS)
                for packet in source.demux(given):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    target.mux(packet)
                shift += round(SECONDS / base)


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
