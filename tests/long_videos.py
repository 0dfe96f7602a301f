"""Videos as long as films, made in a minute: one minute is encoded, its packets are written over
and over."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, FPS, SECONDS = 1080, 1920, 24, 60


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
