"""Which frames of a video are read, how large, and what is not taken for a video."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from qwen_vl_utils import vision_process
from transformers.video_utils import VideoMetadata

from videothinker.config import VideoConfig
from videothinker.data import frames, readers
from videothinker.data.frames import Clip, read_clip
from videothinker.errors import InputError

EVERY = VideoConfig(fps=100.0, min_frames=2, max_frames=64, total_pixels=2**30)
"""All frames of a short video."""


def pictures(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A bright square that moves over a ramp; no two pictures are alike."""
    shown = np.zeros((count, height, width, 3), np.uint8)
    shown[...] = np.linspace(0, 120, width, dtype=np.uint8)[:, None]
    for number in range(count):
        left = number * (width - 16) // max(1, count - 1)
        shown[number, 16:32, left : left + 16] = 255 - number
    return shown


def write(
    path: Path,
    shown: np.ndarray,
    codec: str = "libx264",
    *,
    rate: int = 25,
    pixels: str = "yuv420p",
    times: list[int] | None = None,
    turned: int = 0,
    container: dict[str, Any] | None = None,
    **options: str,
) -> Path:
    """A video file; times are in hundredths of a second."""
    with av.open(str(path), "w", **(container or {})) as target:
        stream = target.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = shown.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.gop_size = int(options.pop("gop", 12))
        if times:
            stream.codec_context.time_base = Fraction(1, 100)
        if turned:
            stream.set_display_rotation(turned)
        for number, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 100)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return path


def whole(path: Path) -> list[np.ndarray]:
    """All frames of a file, read from its start to its end."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def refused(path: Path, video: VideoConfig = EVERY, **part: float) -> str:
    """The reason for which a video is not read."""
    with pytest.raises(InputError) as caught:
        read_clip(path, video, **part)
    name, _, reason = str(caught.value).partition(": ")
    assert name == str(path)
    assert reason
    assert "\n" not in reason
    return reason


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds and a bit: 128 frames, as in CLEVRER, smaller."""
    return write(tmp_path_factory.mktemp("video") / "long.mp4", pictures(128, 80, 120))


@pytest.mark.parametrize(
    "video",
    [
        VideoConfig(),
        VideoConfig.model_validate("paper-evaluation"),
        VideoConfig.model_validate("reference-training"),
        VideoConfig.model_validate("reference-evaluation"),
        VideoConfig(fps=0.5, min_frames=5, max_frames=7, min_pixels=784, total_pixels=14_000),
    ],
)
def test_a_clip_is_what_qwen_vl_utils_makes_of_it(
    long_video: Path, video: VideoConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision_process, "get_video_reader_backend", lambda: "decord")
    element = {"video": str(long_video), "video_start": 0.5, **video.model_dump()}
    (theirs, metadata), sample_fps = vision_process.fetch_video(
        element, return_video_sample_fps=True, return_video_metadata=True
    )
    clip = read_clip(long_video, video, start=0.5)
    assert clip.frames.dtype == np.uint8
    assert np.array_equal(clip.frames, theirs.numpy())
    assert (clip.sample_fps, clip.metadata) == (pytest.approx(sample_fps), metadata)


def test_clevrers_128_frames_at_25_give_ten(long_video: Path) -> None:
    clip = read_clip(long_video, VideoConfig())
    assert clip.metadata["frames_indices"] == [0, 14, 28, 42, 56, 71, 85, 99, 113, 127]
    assert clip.sample_fps == 10 / 128 * 25


def test_decord_and_pyav_read_the_same(mini_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mini_world / "raw" / "videos" / "video_00003.mp4"
    by_decord = read_clip(path, VideoConfig())
    monkeypatch.setattr(readers, "read_by_decord", lambda *_: None)
    by_pyav = read_clip(path, VideoConfig())
    assert by_decord.metadata.pop("video_backend") == "decord"
    assert by_pyav.metadata.pop("video_backend") == "pyav"
    assert by_decord.metadata == by_pyav.metadata
    assert by_decord.sample_fps == by_pyav.sample_fps
    assert np.abs(by_decord.frames.astype(int) - by_pyav.frames).max() <= 1


def test_pyav_is_believed_where_decord_returns_other_frames(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = read_clip(long_video, VideoConfig())
    assert right.metadata["video_backend"] == "decord"
    read = readers.read_by_decord
    monkeypatch.setattr(
        readers, "read_by_decord", lambda path, wanted, shrink: read(path, wanted[::-1], shrink)
    )
    clip = read_clip(long_video, VideoConfig())
    assert clip.metadata["video_backend"] == "pyav"
    assert np.array_equal(clip.frames, right.frames)


def test_environment_variables_change_nothing(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_clip(long_video, VideoConfig())
    for name in ("FPS", "FPS_MAX_FRAMES", "VIDEO_MAX_PIXELS", "MODEL_SEQ_LEN", "MAX_PIXELS"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setenv("FORCE_QWENVL_VIDEO_READER", "torchvision")
    assert np.array_equal(read_clip(long_video, VideoConfig()).frames, before.frames)


def test_transformers_takes_the_metadata(long_video: Path) -> None:
    clip = read_clip(long_video, VideoConfig())
    assert VideoMetadata(**clip.metadata).sampled_fps == clip.sample_fps


def test_a_part_is_counted_in_seconds(long_video: Path) -> None:
    clip = read_clip(long_video, VideoConfig(), start=1.0, end=3.0)
    assert clip.metadata["frames_indices"] == [25, 42, 58, 75]
    assert clip.metadata["total_num_frames"] == 51


def test_a_part_may_end_after_the_video(long_video: Path) -> None:
    clip = read_clip(long_video, VideoConfig(), start=4.0, end=60.0)
    assert clip.metadata["frames_indices"][-1] == 127


@pytest.mark.parametrize("part", [{"start": 60.0}, {"start": 3.0, "end": 2.0}, {"end": 0.0}])
def test_a_part_without_frames_is_refused(long_video: Path, part: dict[str, float]) -> None:
    assert "time range" in refused(long_video, VideoConfig(), **part)


def test_one_frame_is_too_few(tmp_path: Path) -> None:
    assert "1 frame" in refused(write(tmp_path / "one.mp4", pictures(1)))


def test_an_odd_number_of_frames_loses_one(tmp_path: Path) -> None:
    clip = read_clip(write(tmp_path / "three.mp4", pictures(3)), EVERY)
    assert clip.metadata["frames_indices"] == [0, 2]


def test_frames_at_uneven_times_have_an_average_rate(tmp_path: Path) -> None:
    times = [0, 3, 10, 12, 19, 30, 33, 41, 44, 49]
    clip = read_clip(write(tmp_path / "uneven.mp4", pictures(10), times=times), EVERY)
    assert clip.metadata["frames_indices"] == list(range(10))
    assert clip.metadata["fps"] == pytest.approx(20, rel=0.1)


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
    ("vp8.webm", "libvpx", {"cpu-used": "8"}),
    ("vp9.webm", "libvpx-vp9", {"cpu-used": "8"}),
    ("wmv.asf", "wmv2", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), HEALTHY, ids=[row[0] for row in HEALTHY])
def test_a_healthy_video_is_read_to_the_frame(
    tmp_path: Path, name: str, codec: str, options: dict[str, Any]
) -> None:
    path = write(tmp_path / name, pictures(40), codec, **dict(options))
    expected = whole(path)
    assert len(expected) == 40
    indices = [0, 9, 21, 33, 39]
    contents = readers.survey(path)
    found = readers.read_strictly(path, contents, indices, lambda picture: picture)
    assert len(contents.labels) == 40
    for index, picture in zip(indices, found, strict=True):
        assert np.array_equal(picture, expected[index])
    assert len(read_clip(path, EVERY).frames) == 40


@pytest.mark.parametrize("size", [(49, 65), (16, 320), (2, 2)])
def test_any_size_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    shown = np.random.default_rng(0).integers(0, 255, (4, *size, 3), dtype=np.uint8)
    clip = read_clip(write(tmp_path / "odd.mp4", shown, pixels="yuv444p"), EVERY)
    assert clip.frames.shape[2] % 28 == clip.frames.shape[3] % 28 == 0


@pytest.mark.parametrize("turned", [90, 180, 270])
@pytest.mark.parametrize("reader", ["decord", "pyav"])
def test_a_video_is_turned_as_its_header_says(
    tmp_path: Path, turned: int, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "turned.mp4", pictures(4, 64, 96), turned=turned)
    if reader == "pyav":
        monkeypatch.setattr(readers, "read_by_decord", lambda *_: None)
    clip = read_clip(path, EVERY)
    assert clip.metadata["video_backend"] == reader
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


def test_a_frame_that_is_never_shown_is_not_counted(tmp_path: Path) -> None:
    """VP8's alternate references: other frames refer to them."""
    path = write(tmp_path / "all.webm", pictures(40), "libvpx", **{"cpu-used": "8"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "v.webm"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(list(source.demux(video=0))[:-1]):
            content = bytearray(bytes(packet))
            content[0] &= 0xFF if number != 10 else 0xEF
            copy = av.Packet(bytes(content))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, stream
            target.mux(copy)
    clip = read_clip(tmp_path / "v.webm", EVERY)
    assert clip.metadata["total_num_frames"] == len(whole(tmp_path / "v.webm")) == 39


def test_a_title_in_another_alphabet_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.avi", pictures(4), "mpeg4")
    # the name of the program that wrote it, in Latin-1
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"L\xe4vf"))
    assert len(read_clip(path, EVERY).frames) == 4


def damaged(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """A file with other bytes."""
    path.write_bytes(change(path.read_bytes()))
    return path


def test_an_index_that_points_beyond_the_end_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", pictures(40), container={"options": {"movflags": "faststart"}})
    assert "cut off" in refused(damaged(path, lambda content: content[:-1]))


def test_a_file_that_ends_before_its_time_is_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mkv", pictures(100))
    assert "cut off" in refused(damaged(path, lambda content: content[: len(content) // 2]))


def test_a_concealed_error_is_damage(long_video: Path, tmp_path: Path) -> None:
    with av.open(str(long_video)) as container:
        packet = list(container.demux(video=0))[60]
        middle = packet.pos + packet.size // 2
    content = bytearray(long_video.read_bytes())
    content[middle : middle + 20] = b"\xff" * 20
    (tmp_path / "v.mp4").write_bytes(content)
    assert len(whole(tmp_path / "v.mp4")) == 128, "not concealed, so the test shows nothing"
    assert "damaged" in refused(tmp_path / "v.mp4", VideoConfig())


def test_damage_after_the_part_that_is_watched_does_not_matter(
    long_video: Path, tmp_path: Path
) -> None:
    content = bytearray(long_video.read_bytes())
    late = content.index(b"moov") - 400
    content[late : late + 200] = bytes(200)
    (tmp_path / "v.mp4").write_bytes(content)
    refused(tmp_path / "v.mp4", VideoConfig())
    assert len(read_clip(tmp_path / "v.mp4", VideoConfig(), end=2.0).frames) == 4


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


def test_a_video_of_more_than_a_day_is_refused(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "LONGEST", 5.0)
    assert "128 frames" in refused(long_video)


def folder_of(folder: Path, shown: np.ndarray, kind: str = "png") -> Path:
    """Pictures as files."""
    folder.mkdir()
    for number, picture in enumerate(shown, start=1):
        Image.fromarray(picture).save(folder / f"{number:05d}.{kind}")
    return folder


def test_a_folder_of_pictures_is_a_video_at_three_frames_a_second(tmp_path: Path) -> None:
    clip = read_clip(folder_of(tmp_path / "clip", pictures(30)), VideoConfig())
    every_second = [0, 2, 4, 6, 8, 10, 12, 14, 15, 17, 19, 21, 23, 25, 27, 29]
    assert clip.metadata["frames_indices"] == every_second
    assert clip.metadata["fps"] == 3.0


def test_pictures_stand_in_for_the_video_that_is_absent(tmp_path: Path) -> None:
    folder_of(tmp_path / "clip", pictures(12), "jpg")
    by_name = read_clip(tmp_path / "clip.mp4", EVERY)
    assert by_name.digest == read_clip(tmp_path / "clip", EVERY).digest
    assert len(by_name.frames) == 12


def test_pictures_go_by_name(tmp_path: Path) -> None:
    grey = (
        np.full((12, 48, 64, 3), 10, np.uint8) * np.arange(12, dtype=np.uint8)[:, None, None, None]
    )
    clip = read_clip(folder_of(tmp_path / "clip", grey), EVERY)
    assert clip.frames[:, 0, 0, 0].tolist() == list(range(0, 120, 10))


def test_a_digest_tells_contents_budgets_and_parts_apart(long_video: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(long_video.read_bytes() + b"\0")
    clips: list[Clip] = [
        read_clip(long_video, EVERY),
        read_clip(long_video, VideoConfig()),
        read_clip(long_video, EVERY, start=1.0),
        read_clip(long_video, EVERY, end=1.0),
        read_clip(other, EVERY),
    ]
    assert len({clip.digest for clip in clips}) == 5


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "neither" in refused(tmp_path / "pipe.mp4")


@pytest.mark.parametrize("name", ["never_written.mp4", "x" * 300, "nul\0.mp4", "v.mp4/inside.mp4"])
def test_a_path_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "v.mp4").write_bytes(b"text")
    refused(tmp_path / name)


def test_nothing_is_read_of_a_file_that_claims_to_be_huge(tmp_path: Path) -> None:
    with (tmp_path / "hole.mp4").open("wb") as file:
        file.truncate(2**40)
    assert "bytes" in refused(tmp_path / "hole.mp4")
