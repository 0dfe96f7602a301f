"""The right frames out of healthy files of any kind, and a reason out of damaged ones."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from small_videos import EVERY, KEPT, kept, pictures, refused, whole, write

from videothinker.video import readers
from videothinker.video.frames import FrameBudget, read_clip


def damaged(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """A file with other bytes."""
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds and a bit: 128 frames, as in CLEVRER, smaller."""
    return write(tmp_path_factory.mktemp("video") / "long.mp4", pictures(128, 80, 120))


AS_BY_DECORD = [
    ("plain.mp4", "libx264", {}),
    ("full_colour.mp4", "libx264", {"pixels": "yuv444p"}),
    ("ten_bits.mp4", "libx264", {"pixels": "yuv420p10le"}),
    ("turned.mp4", "libx264", {"turned": 90}),
    ("matroska.mkv", "libx264", {}),
    ("mpeg4.mp4", "mpeg4", {}),
]


@pytest.mark.parametrize(
    ("name", "codec", "options"), AS_BY_DECORD, ids=[row[0] for row in AS_BY_DECORD]
)
def test_pyav_reads_what_decord_reads_to_the_bit(
    tmp_path: Path, name: str, codec: str, options: dict[str, Any]
) -> None:
    path = write(tmp_path / name, pictures(24, 64, 96), codec, **dict(options))
    same_as_by_decord(path, [0, 5, 12, 21, 23])


def test_pyav_reads_a_mini_clip_as_decord_does_to_the_bit(mini_world: Path) -> None:
    same_as_by_decord(mini_world / "raw" / "videos" / "video_00003.mp4", [*range(6)])


def same_as_by_decord(path: Path, indices: list[int]) -> None:
    import decord  # after PyAV: its older libvpx would stand in for PyAV's

    reader = decord.VideoReader(str(path), num_threads=1)
    theirs = [reader.get_batch([index]).asnumpy()[0] for index in indices]
    ours = readers.read_strictly(path, readers.survey(path), indices, lambda picture: picture)
    assert np.array_equal(ours, theirs)


HEALTHY = [
    ("plain.mp4", "libx264", {}),
    ("whole_groups.mp4", "libx264", {"gop": "100"}),
    ("open_groups.mp4", "libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3"}),
    ("refreshed.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=10"}),
    ("in_fragments.mp4", "libx264", {"container": {"options": {"movflags": "frag_keyframe"}}}),
    ("index_first.mp4", "libx264", {"container": {"options": {"movflags": "faststart"}}}),
    ("full_colour.mp4", "libx264", {"pixels": "yuv444p"}),
    ("ten_bits.mp4", "libx264", {"pixels": "yuv420p10le"}),
    ("quicktime.mov", "libx264", {}),
    ("matroska.mkv", "libx264", {}),
    ("flash.flv", "libx264", {}),
    ("stream.ts", "libx264", {}),
    ("no_container.h264", "libx264", {}),
    ("h264.avi", "libx264", {"bf": "3"}),
    ("mpeg4.mp4", "mpeg4", {}),
    ("mpeg4.avi", "mpeg4", {"bf": "2"}),
    ("mpeg4.mkv", "mpeg4", {"bf": "2"}),
    ("mpeg2.mpg", "mpeg2video", {}),
    ("motion_jpeg.avi", "mjpeg", {"pixels": "yuvj420p"}),
    ("wmv.asf", "wmv2", {}),
]


def read_to_the_frame(path: Path, count: int) -> None:
    """Any frame is the one that a reading of the whole file shows at its place."""
    expected = whole(path)
    contents = readers.survey(path)
    assert len(expected) == len(contents.labels) == count
    indices = [0, 5, count // 2, count - 3, count - 1]
    found = readers.read_strictly(path, contents, indices, lambda picture: picture)
    for index, picture in zip(indices, found, strict=True):
        assert np.array_equal(picture, expected[index])
    assert len(read_clip(path, EVERY).frames) == count // 2 * 2


@pytest.mark.parametrize(("name", "codec", "options"), HEALTHY, ids=[row[0] for row in HEALTHY])
def test_a_healthy_video_is_read_to_the_frame(
    tmp_path: Path, name: str, codec: str, options: dict[str, Any]
) -> None:
    read_to_the_frame(write(tmp_path / name, pictures(24), codec, **dict(options)), 24)


@pytest.mark.parametrize("name", KEPT)
def test_a_healthy_webm_is_read_to_the_frame(tmp_path: Path, name: str) -> None:
    read_to_the_frame(kept(tmp_path / name), 12)


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_video_is_turned_as_its_header_says(tmp_path: Path, turned: int) -> None:
    clip = read_clip(write(tmp_path / "turned.mp4", pictures(4, 64, 96), turned=turned), EVERY)
    plain = read_clip(write(tmp_path / "plain.mp4", pictures(4, 64, 96)), EVERY)
    expected = np.rot90(plain.frames, turned // 90, axes=(2, 3))
    assert np.abs(clip.frames.astype(int) - expected).mean() < 3


def test_what_precedes_the_first_keyframe_is_no_damage(tmp_path: Path) -> None:
    """As in a file that was cut out of another without encoding it again."""
    path = write(tmp_path / "all.mp4", pictures(40))
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[5:-1]:
            packet.stream = stream
            target.mux(packet)
    clip = read_clip(tmp_path / "cut.mp4", EVERY)
    assert np.array_equal(clip.frames[0], clip.frames[1])
    assert not np.array_equal(clip.frames[0], clip.frames[-1])


def test_a_video_that_was_trimmed_begins_where_its_header_says(tmp_path: Path) -> None:
    """The frames from the keyframe to the trim are in the file, decoded, and not shown."""
    path = write(tmp_path / "v.mp4", pictures(40))
    content = bytearray(path.read_bytes())
    begin = content.index(b"elst") + 16
    (already,) = struct.unpack_from(">I", content, begin)
    struct.pack_into(">I", content, begin, already + 5 * 12800 // 25)
    path.write_bytes(content)
    read_to_the_frame(path, 35)


def test_a_frame_that_is_never_shown_is_not_counted(tmp_path: Path) -> None:
    """VP8's alternate references: other frames refer to them."""
    path = kept(tmp_path / "vp8.webm")
    with av.open(str(path)) as source, av.open(str(tmp_path / "v.webm"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(list(source.demux(video=0))[:-1]):
            content = bytearray(bytes(packet))
            content[0] &= 0xFF if number != 5 else 0xEF
            copy = av.Packet(bytes(content))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            target.mux(copy)
    clip = read_clip(tmp_path / "v.webm", EVERY)
    assert clip.metadata["total_num_frames"] == len(whole(tmp_path / "v.webm")) == 11


def test_a_title_in_another_alphabet_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.avi", pictures(4), "mpeg4")
    # the name of the program that wrote it, in Latin-1
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"L\xe4vf"))
    assert len(read_clip(path, EVERY).frames) == 4


def test_an_index_that_points_beyond_the_end_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", pictures(40), container={"options": {"movflags": "faststart"}})
    assert "cut off" in refused(damaged(path, lambda content: content[:-1]))


@pytest.mark.parametrize("name", ["v.mkv", "v.avi"])
def test_a_file_of_fewer_bytes_than_it_promises_is_damage(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, pictures(100))
    size = path.stat().st_size
    reason = refused(damaged(path, lambda content: content[:-1]))
    assert reason.endswith(f"is cut off at byte {size - 1} of {size}")


def test_a_matroska_file_written_as_a_stream_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mkv", pictures(8), container={"options": {"live": "1"}})
    assert len(read_clip(path, EVERY).frames) == 8


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
def test_a_concealed_error_is_damage(tmp_path: Path, codec: str) -> None:
    plain = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=0"}
    path = write(tmp_path / "v.mp4", pictures(40, 96, 128), codec, **plain)
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))[2:10]
        middles = [packet.pos + packet.size // 2 for packet in packets]
    content = bytearray(path.read_bytes())
    for middle in middles:
        content[middle : middle + 4] = b"\xff" * 4
    path.write_bytes(content)
    assert len(whole(path)) == 40, "not concealed, so the test shows nothing"
    refused(path)


def test_damage_after_the_part_that_is_watched_does_not_matter(
    long_video: Path, tmp_path: Path
) -> None:
    content = bytearray(long_video.read_bytes())
    late = content.index(b"moov") - 400
    content[late : late + 200] = bytes(200)
    (tmp_path / "v.mp4").write_bytes(content)
    refused(tmp_path / "v.mp4", FrameBudget())
    assert len(read_clip(tmp_path / "v.mp4", FrameBudget(), end=2.0).frames) == 4


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as target:
        stream = target.add_stream("aac", rate=44100)
        sound = np.zeros((1, 1024), np.float32)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    assert "no video" in refused(tmp_path / "sound.mp4")


def test_a_picture_too_large_to_be_one_is_refused_before_it_is_decoded(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MOST_PIXELS", 80 * 120 - 1)
    assert "120x80" in refused(long_video)
