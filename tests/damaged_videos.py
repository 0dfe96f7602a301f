"""Files that call themselves videos and are not, made from one good video.

The same files on every machine, apart from what the encoder makes of the good one; so flips are
placed where any stream breaks, not where this one happens to.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import socket
import struct
import tempfile
import wave
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import av
import numpy as np

FAR = 0x7FFFFFF0
PLAYLIST = (
    b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
)


def write_damaged_videos(folder: Path, good: Path) -> list[str]:
    """Write the corpus into a new folder; returns the names, each of which says what is wrong."""
    folder.mkdir(parents=True)
    last = good.read_bytes()
    first = remuxed(good, "mp4", movflags="faststart")
    written = {
        **truncated(last, first),
        **overwritten(last),
        **misdescribed(last),
        **other_containers(good),
        **other_files(),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    return [*written, *folders(folder), *not_files(folder)]


def remuxed(good: Path, container: str, **options: str) -> bytes:
    """The same packets in a container of another kind."""
    with tempfile.NamedTemporaryFile() as file:  # what is written first is filled in last
        with (
            av.open(str(good)) as source,
            av.open(file.name, "w", container, options=options) as target,
        ):
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        return Path(file.name).read_bytes()


def truncated(last: bytes, first: bytes) -> dict[str, bytes]:
    """Files that end early; the index is at the end, or at the beginning."""
    files = {"empty.mp4": b"", "one_byte.mp4": last[:1], "only_the_first_box.mp4": last[:32]}
    for percent in (10, 50, 90):
        files[f"index_last_cut_at_{percent}_percent.mp4"] = last[: len(last) * percent // 100]
    files["cut_inside_the_index.mp4"] = last[: last.index(b"stsz") + 10]
    for percent in (10, 30, 50, 70, 90):
        files[f"index_first_cut_at_{percent}_percent.mp4"] = first[: len(first) * percent // 100]
    files["index_first_last_byte_missing.mp4"] = first[:-1]
    files["index_first_no_data.mp4"] = first[: first.index(b"mdat") + 4]
    files["first_half_missing.mp4"] = last[len(last) // 2 :]
    files["first_kilobyte_missing.mp4"] = last[1024:]
    return files


def data(video: bytes) -> tuple[int, int]:
    """Where the pictures of an mp4 begin and end."""
    at = video.index(b"mdat")
    return at + 4, at - 4 + struct.unpack_from(">I", video, at - 4)[0]


def overwritten(video: bytes) -> dict[str, bytes]:
    """Files whose length is right and whose content is not."""
    begin, end = data(video)
    noise = random.Random(0)
    files = {
        "zeros.mp4": bytes(len(video)),
        "noise.mp4": noise.randbytes(len(video)),
        "data_is_zeros.mp4": video[:begin] + bytes(end - begin) + video[end:],
        "data_is_noise.mp4": video[:begin] + noise.randbytes(end - begin) + video[end:],
        "index_is_zeros.mp4": video[: end + 8] + bytes(len(video) - end - 8),
        "second_half_is_zeros.mp4": video[: len(video) // 2] + bytes(-(-len(video) // 2)),
        "halves_swapped.mp4": video[len(video) // 2 :] + video[: len(video) // 2],
    }
    for every in (1000, 100, 10):
        flipped = bytearray(video)
        for place in noise.sample(range(begin, end), (end - begin) // every):
            flipped[place] ^= 1 << noise.randrange(8)
        files[f"one_bit_in_{every}_bytes_flipped.mp4"] = bytes(flipped)
    flipped = bytearray(video)
    flipped[begin] ^= 0x80  # the length of the first piece of the first frame
    files["first_bit_of_data_flipped.mp4"] = bytes(flipped)
    return files


def patched(video: bytes, box: bytes, offset: int, *numbers: int) -> bytes:
    """An mp4 with 32-bit numbers overwritten, counted from the name of a box."""
    changed = bytearray(video)
    struct.pack_into(f">{len(numbers)}I", changed, video.index(box) + offset, *numbers)
    return bytes(changed)


def misdescribed(video: bytes) -> dict[str, bytes]:
    """Headers that claim what the file does not hold."""
    return {
        "claims_2_billion_frames.mp4": patched(video, b"stsz", 12, FAR),
        "claims_2_billion_frames_of_a_byte.mp4": patched(video, b"stsz", 8, 1, FAR),
        "claims_frames_of_2_gigabytes.mp4": patched(video, b"stsz", 16, FAR, FAR),
        "claims_data_at_2_gigabytes.mp4": patched(video, b"stco", 12, FAR),
        "claims_to_last_for_years.mp4": patched(video, b"stts", 16, FAR // 6),
        "claims_no_frames.mp4": patched(video, b"stsz", 12, 0),
        "claims_data_of_4_gigabytes.mp4": patched(video, b"mdat", -4, 0xFFFFFFFF),
        "claims_an_unknown_codec.mp4": video.replace(b"avc1", b"zzzz"),
        "decoder_settings_are_zeros.mp4": patched(video, b"avcC", 4, 0, 0, 0, 0, 0, 0, 0),
    }


def other_containers(good: Path) -> dict[str, bytes]:
    """Damage to what is not an mp4, whatever its name is."""
    matroska, avi = remuxed(good, "matroska"), encoded("avi", "mpeg4", 50)
    raw = encoded("avi", "rawvideo", 4)
    claims = {}
    for side in (12345, 65535):
        wide = bytearray(raw)
        struct.pack_into("<II", wide, raw.index(b"strf") + 12, side, side)
        claims[f"claims_{side}_by_{side}_pixels.avi"] = bytes(wide)
    return {
        "matroska_cut_at_50_percent.mkv": matroska[: len(matroska) // 2],
        "matroska_cut_at_5_percent.mp4": matroska[: len(matroska) // 20],
        "avi_cut_at_30_percent.avi": avi[: len(avi) * 3 // 10],
        **claims,
        "one_frame.mp4": encoded("mp4", "libx264", 1),
        "no_frames.mp4": encoded("mp4", "libx264", 0),
        "no_frames.mkv": encoded("matroska", "libx264", 0),
    }


def encoded(container: str, codec: str, frames: int) -> bytes:
    """A small video of another kind."""
    out = io.BytesIO()
    noise = np.random.default_rng(0)
    with av.open(out, "w", container) as target:
        stream = target.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        target.start_encoding()
        for _ in range(frames):
            picture = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        target.mux(stream.encode())
    return out.getvalue()


def other_files() -> dict[str, bytes]:
    """What is no video at all, under a video's name."""
    sound, archive = io.BytesIO(), io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("video.mp4", "not here either")
    return {
        "text.mp4": b"The video is not available in your country.\n" * 20,
        "page.mp4": b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>\n",
        "json.mp4": b'{"error": {"code": 403, "message": "quota exceeded"}}\n',
        "large_file_pointer.mp4": b"version https://git-lfs.github.com/spec/v1\nsize 123456\n",
        "playlist.mp4": PLAYLIST,
        "list_of_files.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "script.mp4": b"#!/bin/sh\nexit 1\n",
        "picture.mp4": png(64, 48),
        "sound.mp4": sound.getvalue(),
        "archive.mp4": archive.getvalue(),
        "compressed.mp4": gzip.compress(bytes(5000), mtime=0),
    }


def png(width: int, height: int, claimed: int | None = None) -> bytes:
    """A grey picture, which can claim to be a larger square."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", claimed or width, claimed or height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def folders(folder: Path) -> Iterator[str]:
    """Folders in place of files."""
    good = png(64, 48)
    contents = {
        "folder_with_nothing.mp4": {},
        "folder_with_text.mp4": {"readme.txt": b"see the other folder"},
        "folder_with_one_picture.mp4": {"00001.png": good},
        "folder_with_cut_pictures.mp4": {f"{n:05d}.png": good[:60] for n in range(12)},
        "folder_with_empty_pictures.mp4": {f"{n:05d}.jpg": b"" for n in range(12)},
        "folder_with_huge_pictures.mp4": {f"{n:05d}.png": png(9, 9, 65535) for n in range(12)},
        "folder_with_pictures_that_are_text.mp4": {f"{n:05d}.jpg": b"text" for n in range(12)},
        "folder_with_pictures_of_two_sizes.mp4": {
            f"{n:05d}.png": png(64, 48 + n % 2) for n in range(12)
        },
    }
    for name, files in contents.items():
        (folder / name).mkdir()
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
        yield name


def not_files(folder: Path) -> Iterator[str]:
    """What opening would wait for, follow for ever, or not find."""
    (folder / "link_to_nothing.mp4").symlink_to("there_is_no_such_file.mp4")
    yield "link_to_nothing.mp4"
    (folder / "link_to_itself.mp4").symlink_to("link_to_itself.mp4")
    yield "link_to_itself.mp4"
    (folder / "link_to_an_empty_folder.mp4").symlink_to("folder_with_nothing.mp4")
    yield "link_to_an_empty_folder.mp4"
    (folder / "link_to_a_device.mp4").symlink_to("/dev/zero")
    yield "link_to_a_device.mp4"
    os.mkfifo(folder / "pipe.mp4")
    yield "pipe.mp4"
    with socket.socket(socket.AF_UNIX) as listener, chdir(folder):
        listener.bind("socket.mp4")  # its path may have a hundred bytes only
    yield "socket.mp4"
    with (folder / "hole_of_a_terabyte.mp4").open("wb") as file:
        file.truncate(2**40)
    yield "hole_of_a_terabyte.mp4"
    (folder / "not_readable.mp4").write_bytes(b"secret")
    (folder / "not_readable.mp4").chmod(0)
    yield "not_readable.mp4"
    yield "never_written.mp4"
