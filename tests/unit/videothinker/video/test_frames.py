"""Which frames of a video are read, how large, and what is not taken for a video."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from qwen_vl_utils import vision_process
from small_videos import EVERY, pictures, refused, write
from transformers.video_utils import VideoMetadata

from videothinker.errors import InputError
from videothinker.video import frames
from videothinker.video.frames import Clip, FrameBudget, read_clip


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds and a bit: 128 frames, as in CLEVRER, smaller."""
    return write(tmp_path_factory.mktemp("video") / "long.mp4", pictures(128, 80, 120))


@pytest.mark.parametrize(
    "video",
    [
        FrameBudget(),
        FrameBudget.model_validate("paper-evaluation"),
        FrameBudget.model_validate("reference-training"),
        FrameBudget.model_validate("reference-evaluation"),
        FrameBudget(fps=0.5, min_frames=5, max_frames=7, min_pixels=784, total_pixels=14_000),
        FrameBudget(side=32),
        FrameBudget(side=32, min_pixels=4096, max_pixels=131_072, total_pixels=400_000),
    ],
)
def test_a_clip_is_what_qwen_vl_utils_makes_of_it(
    long_video: Path, video: FrameBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vision_process, "get_video_reader_backend", lambda: "decord")
    element = {"video": str(long_video), "video_start": 0.5, **video.model_dump()}
    (theirs, metadata), sample_fps = vision_process.fetch_video(
        element,
        image_patch_size=video.side // 2,
        return_video_sample_fps=True,
        return_video_metadata=True,
    )
    clip = read_clip(long_video, video, start=0.5)
    assert clip.frames.dtype == np.uint8
    assert np.array_equal(clip.frames, theirs.numpy())
    metadata["video_backend"] = "pyav"
    assert (clip.sample_fps, clip.metadata) == (pytest.approx(sample_fps), metadata)


@pytest.mark.parametrize("side", [28, 32])
def test_a_picture_is_what_qwen_vl_utils_makes_of_it(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.PNG"
    pixels = np.random.default_rng(0).integers(0, 255, (150, 333, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    video = FrameBudget(side=side, picture_min_pixels=4 * side**2, picture_max_pixels=30_000)
    limits = {"min_pixels": video.picture_min_pixels, "max_pixels": video.picture_max_pixels}
    theirs = vision_process.fetch_image({"image": str(path), **limits}, side // 2)
    clip = read_clip(path, video)
    assert clip.frames.shape == (1, 3, theirs.height, theirs.width)
    assert np.array_equal(clip.frames[0].transpose(1, 2, 0), np.asarray(theirs))
    assert clip.digest != read_clip(path, video.model_copy(update={"side": 60 - side})).digest


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"nothing")
    assert "cannot be decoded" in refused(path)


def test_clevrers_128_frames_at_25_give_ten(long_video: Path) -> None:
    clip = read_clip(long_video, FrameBudget())
    assert clip.metadata["frames_indices"] == [0, 14, 28, 42, 56, 71, 85, 99, 113, 127]
    assert clip.sample_fps == 10 / 128 * 25


def test_environment_variables_change_nothing(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_clip(long_video, FrameBudget())
    for name in ("FPS", "FPS_MAX_FRAMES", "VIDEO_MAX_PIXELS", "MODEL_SEQ_LEN", "MAX_PIXELS"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setenv("FORCE_QWENVL_VIDEO_READER", "torchvision")
    assert np.array_equal(read_clip(long_video, FrameBudget()).frames, before.frames)


def test_transformers_takes_the_metadata(long_video: Path) -> None:
    clip = read_clip(long_video, FrameBudget())
    assert VideoMetadata(**clip.metadata).sampled_fps == clip.sample_fps


def test_a_part_is_counted_in_seconds(long_video: Path) -> None:
    clip = read_clip(long_video, FrameBudget(), start=1.0, end=3.0)
    assert clip.metadata["frames_indices"] == [25, 42, 58, 75]
    assert clip.metadata["total_num_frames"] == 51


def test_a_part_may_end_after_the_video(long_video: Path) -> None:
    clip = read_clip(long_video, FrameBudget(), start=4.0, end=60.0)
    assert clip.metadata["frames_indices"][-1] == 127


@pytest.mark.parametrize("part", [{"start": 60.0}, {"start": 3.0, "end": 2.0}, {"end": 0.0}])
def test_a_part_without_frames_is_refused(long_video: Path, part: dict[str, float]) -> None:
    assert "time range" in refused(long_video, FrameBudget(), **part)


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


@pytest.mark.parametrize("size", [(49, 65), (16, 320), (2, 2)])
def test_any_size_is_read(tmp_path: Path, size: tuple[int, int]) -> None:
    shown = np.random.default_rng(0).integers(0, 255, (4, *size, 3), dtype=np.uint8)
    clip = read_clip(write(tmp_path / "odd.mp4", shown, pixels="yuv444p"), EVERY)
    assert clip.frames.shape[2] % 28 == clip.frames.shape[3] % 28 == 0


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
    clip = read_clip(folder_of(tmp_path / "clip", pictures(30)), FrameBudget())
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


def test_a_digest_tells_contents_budgets_and_parts_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", pictures(12))
    other = tmp_path / "other.mp4"
    other.write_bytes(path.read_bytes() + b"\0")
    clips: list[Clip] = [
        read_clip(path, EVERY),
        read_clip(path, FrameBudget()),
        read_clip(path, EVERY, start=0.2),
        read_clip(path, EVERY, end=0.2),
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


def test_pictures_that_claim_to_be_huge_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    os.truncate(tmp_path / "1.jpg", 2**40)
    with pytest.raises(InputError, match="which no video does"):
        read_clip(tmp_path, FrameBudget())


def test_a_picture_that_would_swell_beyond_all_memory_is_not_decoded(tmp_path: Path) -> None:
    Image.new("1", (40_000, 40_000)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes())
    assert (tmp_path / "1.png").stat().st_size < 2**20
    with pytest.raises(InputError, match="decompression bomb"):
        read_clip(tmp_path, FrameBudget(min_frames=2))
