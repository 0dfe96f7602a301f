"""Pictures out of a video file, by PyAV, strictly.

PyAV alone, though decord is what the reference reads with. On healthy files both give the same
pictures to the bit (a test compares them). But decord conceals damage, returns other frames than
asked for from healthy files (AVI, MPEG, open groups of pictures), and decodes everything again.

PyAV sees a container that is broken or ends before its own index or header says, and data that does
not decode; this in what the chosen frames are decoded from, not in the rest of a long file. It does
not see a frame that was left out by whoever wrote the container, nor does anybody see a flipped bit
that leaves a valid stream: few codecs have checksums.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from videothinker.errors import InputError

Shrink = Callable[[np.ndarray], np.ndarray]
"""A picture, [H, W, 3] uint8, to the size the model sees, [3, h, w] uint8."""
MOST_PIXELS = 2**26
"""Of one picture: nearly twice 8K. More is a damaged header."""
TIMED = {"mov", "matroska"}
"""Containers in which every frame has a packet of its own that says when it is shown.

In others (AVI, MPEG, raw streams) one cannot seek with certainty.
"""
SEGMENT = b"\x18\x53\x80\x67"
"""What Matroska calls the element that holds all but a short header."""
RETICENT = {"hevc"}
"""Decoders that report damage only if told to stop at it.

H.264's and MPEG's mark the frame, VP9's and AV1's stop by themselves. Told to stop, the former and
Motion JPEG's (which reports nothing) would also stop at irregularities that healthy files have.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a file holds."""

    fps: float
    labels: Sequence[int]
    """One per frame in the order shown: its time, or its number where times mean nothing."""
    keys: Sequence[int]
    """Times at which decoding can begin; none where labels are numbers."""


def survey(path: Path) -> Contents:
    """Count the frames, by reading every packet and decoding none, where that is enough."""
    times: list[int | None] = []
    keys: list[int] = []
    with opened(path) as (container, stream):
        require_whole_index(path, container, stream)
        require_promised_bytes(path, container)
        for packet in container.demux():
            if packet.stream_index == stream.index:
                times += [packet.pts] * shows(packet, stream)
                keys += [packet.pts] * packet.is_keyframe
        fps = float(stream.average_rate or 0)
        timed = formats(container) & TIMED and keys
    known = [time for time in times if time is not None]
    if timed and len(set(known)) == len(times):
        return Contents(fps=fps, labels=sorted(known), keys=sorted(keys))
    with opened(path) as (container, stream):
        count = sum(1 for _ in frames(path, container, stream, timed=False))
    return Contents(fps=fps, labels=range(count), keys=[])


def read_strictly(
    path: Path, contents: Contents, indices: Sequence[int], shrink: Shrink
) -> list[np.ndarray]:
    """The frames at ascending indices by PyAV; InputError if what they need is damaged."""
    wanted = [contents.labels[index] for index in indices]
    if not contents.keys:
        return pictures(path, contents, wanted, shrink, seeking=False)
    # In a file cut out of another one, what precedes the first keyframe cannot be decoded.
    wanted = [max(label, contents.keys[0]) for label in wanted]
    try:
        return pictures(path, contents, wanted, shrink, seeking=True)
    except (InputError, av.FFmpegError):
        # Not every keyframe stands on its own (intra refresh, open groups): only a reading from the
        # start tells damage from an unlucky place to begin at.
        return pictures(path, contents, wanted, shrink, seeking=False)


def pictures(
    path: Path, contents: Contents, wanted: Sequence[int], shrink: Shrink, *, seeking: bool
) -> list[np.ndarray]:
    """The frames with these ascending labels."""
    found: list[np.ndarray] = []
    at: int | None = None
    with opened(path) as (container, stream):
        coming = frames(path, container, stream, timed=bool(contents.keys))
        for label in wanted:
            if label == at:
                found.append(found[-1])
                continue
            key = contents.keys[bisect_right(contents.keys, label) - 1] if seeking else None
            if key is not None and (at is None or key > at):
                container.seek(key, stream=stream)
                coming = frames(path, container, stream, timed=True)
            at, frame = next((pair for pair in coming if pair[0] >= label), (None, None))
            if at != label:
                raise InputError(f"{path}: frames are missing")
            found.append(shrink(upright(frame)))
    return found


def frames(path: Path, container: Any, stream: Any, *, timed: bool) -> Iterator[tuple[int, Any]]:
    """(label, frame) in the order shown, from a keyframe on; InputError at a damaged one."""
    started, number = False, 0
    for packet in container.demux(stream):
        started = started or packet.is_keyframe
        for frame in packet.decode() if started else ():
            if frame.is_corrupt:
                raise InputError(f"{path}: a frame is damaged")
            label = frame.pts if timed else number
            if label is not None:
                yield label, frame
            number += 1


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """A container and its video stream, whose decoder stops at damage."""
    # Only files: a playlist that calls itself .mp4 must not make us open addresses.
    options = {"protocol_whitelist": "file"}
    with av.open(str(path), options=options, metadata_errors="replace") as container:
        stream = container.streams.best("video")
        if stream is None:
            raise InputError(f"{path}: has no video stream")
        decoder = stream.codec_context
        if decoder is None:
            raise InputError(f"{path}: has a codec that is not known")
        if decoder.width * decoder.height > MOST_PIXELS:
            raise InputError(f"{path}: claims pictures of {decoder.width}x{decoder.height} pixels")
        if decoder.name in RETICENT:
            decoder.options = {"err_detect": "crccheck+explode"}
        decoder.thread_count = 1  # the loaders are the parallel ones
        yield container, stream


def formats(container: Any) -> set[str]:
    """A container's names: one format may have several."""
    return set(container.format.name.split(","))


def require_whole_index(path: Path, container: Any, stream: Any) -> None:
    """An index that points beyond the end belongs to a longer file."""
    ends = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
    if "mov" in formats(container) and ends > container.size:
        raise InputError(f"{path}: is cut off at byte {container.size} of {ends}")


def require_promised_bytes(path: Path, container: Any) -> None:
    """Matroska and AVI say first how many bytes follow, unless they were written as a stream."""
    names = formats(container)
    with path.open("rb") as file:
        head = file.read(512)
    ends = 0
    if "avi" in names:
        ends = 8 + int.from_bytes(head[4:8], "little")
    elif "matroska" in names:
        ends = end_of_segment(head)
    if ends > container.size:
        raise InputError(f"{path}: is cut off at byte {container.size} of {ends}")


def end_of_segment(head: bytes) -> int:
    """Where Matroska's data end; 0 if it does not say."""
    header, name, size = head.partition(SEGMENT)
    if not name or not size or not size[0]:
        return 0
    width = 9 - size[0].bit_length()  # zeros before the first bit count the bytes of a number
    everything = 2 ** (7 * width) - 1
    number = int.from_bytes(size[:width], "big") & everything
    return 0 if number == everything else len(header) + len(name) + width + number


def shows(packet: Any, stream: Any) -> bool:
    """Whether a frame comes of a packet."""
    if not packet.size or packet.is_discard:
        return False
    # VP8 has frames that others refer to and nobody sees; a bit of the first byte says so.
    return stream.codec_context.name != "vp8" or bool(memoryview(packet)[0] & 0x10)


def upright(frame: Any) -> np.ndarray:
    """[H, W, 3] uint8, turned as the file says."""
    # threads would be started and ended for each picture
    picture: np.ndarray = frame.to_ndarray(format="rgb24", threads=1)
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))
