"""Where a question's video is found, and what is never followed."""

import os
from pathlib import Path

import pytest

from videothinker.errors import InputError
from videothinker.types import Question
from videothinker.video import frames
from videothinker.video.files import check_distinct, find, path_of


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def question(video: str) -> Question:
    return Question(id=video, video=video, text="?", options=(("A", "a"),), answer="A")


@pytest.mark.parametrize("stored", ["yale-nlp/MMVU/videos/Art/0.mp4", "videos/Art/0.mp4", "0.mp4"])
@pytest.mark.parametrize(
    "video", ["/yale-nlp/MMVU/videos/Art/0.mp4", "yale-nlp/MMVU/videos/Art/0.mp4"]
)
def test_any_of_a_paths_folders_may_be_the_folder_of_videos(
    tmp_path: Path, stored: str, video: str
) -> None:
    touch(tmp_path / stored)
    assert find(tmp_path, video) == tmp_path / stored


def test_the_longest_path_wins(tmp_path: Path) -> None:
    touch(tmp_path / "clevrer/video_1.mp4", tmp_path / "video_1.mp4")
    assert find(tmp_path, "MVBench/clevrer/video_1.mp4") == tmp_path / "clevrer/video_1.mp4"


@pytest.mark.parametrize("stored", ["166583.webm", "166583.avi", "166583.mkv", "166583.MP4"])
def test_a_source_that_was_not_made_an_mp4_is_found(tmp_path: Path, stored: str) -> None:
    touch(tmp_path / "ssv2_video" / stored)
    found = find(tmp_path, "MVBench/ssv2_video/166583.mp4")
    assert found == tmp_path / "ssv2_video" / stored


def test_the_name_as_written_wins_over_other_suffixes(tmp_path: Path) -> None:
    touch(tmp_path / "1.mp4", tmp_path / "1.webm")
    assert find(tmp_path, "1.webm") == tmp_path / "1.webm"


@pytest.mark.parametrize(
    "video",
    [
        "/MVBench/tvqa/frames_fps3/castle_s07.mp4",
        "MVBench/tvqa/frames_fps3_hq/castle_s07",
    ],
)
def test_a_folder_of_frames_stands_for_a_video(tmp_path: Path, video: str) -> None:
    touch(tmp_path / "tvqa/frames_fps3_hq/castle_s07/00001.jpg")
    assert find(tmp_path, video) == tmp_path / "tvqa/frames_fps3_hq/castle_s07"


def test_a_folder_named_like_a_video_is_none(tmp_path: Path) -> None:
    (tmp_path / "0.mp4").mkdir()
    assert find(tmp_path, "0.mp4") is None


@pytest.mark.parametrize(
    "video",
    [
        "../secret.mp4",
        "a/../../secret.mp4",
        "/../secret.mp4",
        "",
        "/",
        ".",
        "a\0b.mp4",
        "n" * 5000 + ".mp4",
        "gone.mp4",
    ],
)
def test_nothing_outside_the_folder_is_found(tmp_path: Path, video: str) -> None:
    touch(tmp_path / "secret.mp4", tmp_path / "videos/0.mp4")
    assert find(tmp_path / "videos", video) is None


def test_an_absolute_path_counts_from_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "secret.mp4"
    touch(outside, tmp_path / "videos/0.mp4")
    assert find(tmp_path / "videos", str(outside)) is None


def test_two_videos_that_are_one_file_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "video_10142.mp4")
    both = [question("clevrer/video_10142.mp4"), question("perception/video_10142.mp4")]
    check_distinct(tmp_path, [both[0], both[0]])
    with pytest.raises(InputError, match=r"would both be video_10142\.mp4"):
        check_distinct(tmp_path, both)


@pytest.mark.parametrize("video", ["../v.mp4", "a/../../v.mp4", "/../v.mp4", "..", "a/.."])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, video: str) -> None:
    touch(tmp_path / "v.mp4", tmp_path / "videos" / "a" / "w.mp4")
    assert find(tmp_path / "videos", video) is None
    with pytest.raises(InputError, match="leads out"):
        path_of(tmp_path / "videos", video)


def test_an_absolute_path_counts_from_the_folder_of_videos(tmp_path: Path) -> None:
    touch(tmp_path / "outside" / "v.mp4", tmp_path / "videos" / "w.mp4")
    outside = str(tmp_path / "outside" / "v.mp4")
    assert find(tmp_path / "videos", outside) is None
    assert path_of(tmp_path / "videos", outside) == tmp_path / "videos" / outside.lstrip("/")


def test_a_link_that_the_owner_of_the_folder_made_is_followed(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "v.mp4")
    (tmp_path / "videos").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "w.mp4").symlink_to(tmp_path / "disk" / "v.mp4")
    assert find(tmp_path / "videos", "w.mp4") == tmp_path / "videos" / "w.mp4"


def test_what_is_no_file_is_not_waited_for_and_named(tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "null.mp4").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, reason in (
        ("loop.mp4", "symbolic links"),
        ("null.mp4", "neither a file"),
        ("pipe.mp4", "neither a file"),
        ("nul\0.mp4", "cannot be read"),
        ("half\ud800.mp4", "cannot be read"),
        ("x" * 5000 + ".mp4", "cannot be read"),
    ):
        assert find(tmp_path, name) is None
        with pytest.raises(InputError, match=reason):
            frames.source_of(path_of(tmp_path, name))
