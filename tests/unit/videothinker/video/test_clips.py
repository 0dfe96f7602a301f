"""A clip is decoded once, wherever it is asked for, and a cache that fails costs time only."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from videothinker.child import child_environment
from videothinker.errors import InputError
from videothinker.video.clips import ClipFolder, ClipStore
from videothinker.video.frames import Clip, FrameBudget

VIDEO = FrameBudget()
PIXELS = 4 * 3 * 28 * 28
CLIP_BYTES = PIXELS + 300
"""Of a clip's file, at most; its header and checksum are smaller than that."""


class FakeDecoder:
    """Four frames a byte of a file, of its first; a file that begins with ! is damaged."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.rested = 0

    def decode(
        self, source: Path, digest: str, video: FrameBudget, start: float | None, end: float | None
    ) -> Clip:
        self.asked.append(source.name)
        content = (source / "1.png" if source.is_dir() else source).read_bytes()
        if content.startswith(b"!"):
            raise InputError(f"{source}: is damaged")
        frames = np.full((len(content) * 4, 3, 28, 28), content[0], np.uint8)
        metadata = {"fps": 25.0, "frames_indices": [0, 1, 2, 3]}
        return Clip(frames=frames, sample_fps=2.0, metadata=metadata, digest=digest)

    def rest(self) -> None:
        self.rested += 1

    def close(self) -> None:
        self.asked.append("closed")


class Store(ClipStore):
    """A store in a folder of the test, with a decoder that can be asked what it was asked."""

    def __init__(self, folder: Path, video: FrameBudget = VIDEO, clips: float = 1e6) -> None:
        self.decoder = FakeDecoder()
        super().__init__(folder, clips * CLIP_BYTES / 1e9, video, 5.0, decoder=self.decoder)


class Forgetful(Store):
    """A store that keeps nothing in memory."""

    def _remember(self, clip: Clip) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "cache" / "clips"


def write(folder: Path, name: str, content: str) -> Path:
    """A video, as the fake decoder understands it."""
    path = folder / name
    path.write_text(content)
    return path


def kept(cache: Path) -> list[Path]:
    """The files of clips."""
    return sorted(cache.glob("??/*.clip"))


def test_a_video_is_decoded_once(tmp_path: Path, cache: Path) -> None:
    store, path = Store(cache), write(tmp_path, "a.mp4", "a")
    clips = [store.get(path) for _ in range(3)]
    assert store.decoder.asked == ["a.mp4"]
    assert store.decoder.rested == 2
    assert store.counts == {"decoded": 1, "reused": 2, "failed": 0}
    assert all(clip.frames[0, 0, 0, 0] == ord("a") for clip in clips)


def test_another_run_decodes_nothing(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, "a.mp4", "a")
    first = Store(cache).get(path)
    store = Store(cache)
    second = store.get(path)
    assert store.counts == {"decoded": 0, "reused": 1, "failed": 0}
    assert np.array_equal(first.frames, second.frames)
    assert (first.sample_fps, first.metadata, first.digest) == (
        second.sample_fps,
        second.metadata,
        second.digest,
    )


def test_content_counts_and_not_the_name(tmp_path: Path, cache: Path) -> None:
    store = Store(cache)
    store.get(write(tmp_path, "a.mp4", "x"))
    store.get(write(tmp_path, "b.mp4", "x"))
    store.get(write(tmp_path, "c.mp4", "y"))
    assert store.decoder.asked == ["a.mp4", "c.mp4"]


def test_a_file_that_has_changed_is_decoded_again(tmp_path: Path, cache: Path) -> None:
    store = Store(cache)
    assert store.get(write(tmp_path, "a.mp4", "a")).frames[0, 0, 0, 0] == ord("a")
    assert store.get(write(tmp_path, "a.mp4", "bb")).frames[0, 0, 0, 0] == ord("b")


def test_parts_and_budgets_are_clips_of_their_own(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, "a.mp4", "a")
    store, other = Store(cache), Store(cache, FrameBudget(max_frames=8))
    clips = [store.get(path), store.get(path, 1.0), store.get(path, None, 1.0), other.get(path)]
    assert len({clip.digest for clip in clips}) == 4
    assert store.counts["decoded"] + other.counts["decoded"] == 4


def test_a_folder_of_pictures_is_known_by_its_pictures(tmp_path: Path, cache: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "1.png", "a")
    write(tmp_path / "two", "notes.txt", "not a picture")
    store = Store(cache)
    store.get(tmp_path / "one")
    store.get(tmp_path / "two")
    write(tmp_path / "two", "2.png", "a")
    store.get(tmp_path / "two")
    assert store.decoder.asked == ["one", "two"]


def test_a_failure_is_remembered_with_its_reason(tmp_path: Path, cache: Path) -> None:
    store = Store(cache)
    first, copy = write(tmp_path, "a.mp4", "!"), write(tmp_path, "b.mp4", "!")
    for path in (first, first, copy):
        with pytest.raises(InputError) as caught:
            store.get(path)
        assert str(caught.value) == f"{path}: is damaged"
    assert store.decoder.asked == ["a.mp4"]
    assert store.counts == {"decoded": 0, "reused": 0, "failed": 3}


def test_what_is_no_file_never_reaches_the_decoder(tmp_path: Path, cache: Path) -> None:
    store = Store(cache)
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "absent.mp4"):
        with pytest.raises(InputError):
            store.get(tmp_path / name)
    assert store.decoder.asked == []
    assert store.counts["failed"] == 2


def test_memory_is_bounded(tmp_path: Path, cache: Path) -> None:
    store = ClipStore(cache, 1.0, VIDEO, 5.0, decoder=FakeDecoder(), memory_bytes=2 * PIXELS)
    paths = [write(tmp_path, f"{letter}.mp4", letter) for letter in "abc"]
    for path in (*paths[:2], paths[0], paths[2]):
        store.get(path)
    for file in kept(cache):
        file.unlink()
    assert [clip.frames[0, 0, 0, 0] for clip in store._memory.values()] == [ord("a"), ord("c")]
    store.get(paths[0])
    assert store.counts == {"decoded": 3, "reused": 2, "failed": 0}


def test_the_longest_unused_clips_go_first(tmp_path: Path, cache: Path) -> None:
    store = Forgetful(cache, clips=4)
    paths = [write(tmp_path, f"{letter}.mp4", letter) for letter in "abcde"]
    for age, path in enumerate(paths[:4]):
        store.get(path)
        newest = max(kept(cache), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (1000 + age, 1000 + age))
    store.get(paths[0])  # used again, and so the newest
    store.get(paths[4])
    for path in (paths[0], paths[4]):
        store.get(path)
    assert store.counts["decoded"] == 5
    store.get(paths[1])
    assert store.counts["decoded"] == 6


def test_the_disk_is_bounded_by_every_store_that_shares_it(tmp_path: Path, cache: Path) -> None:
    stores = [Forgetful(cache, clips=6) for _ in range(3)]
    for number in range(30):
        path = write(tmp_path, f"{number}.mp4", chr(64 + number))
        stores[number % 3].get(path)
        assert sum(file.stat().st_size for file in kept(cache)) <= 6 * CLIP_BYTES
    assert len(kept(cache)) >= 4


def test_a_clip_larger_than_the_whole_folder_does_not_drive_out_the_others(
    tmp_path: Path, cache: Path
) -> None:
    store = Store(cache, clips=2)
    store.get(write(tmp_path, "a.mp4", "a"))
    before = kept(cache)
    assert len(store.get(write(tmp_path, "large.mp4", "large")).frames) == 20
    assert kept(cache) == before


def test_files_of_others_are_left_alone(tmp_path: Path, cache: Path) -> None:
    (cache / "ab").mkdir(parents=True)
    others = [write(cache, "thesis.tex", "x" * 90_000), write(cache / "ab", "photo.jpg", "y")]
    for file in others:
        os.utime(file, (1, 1))
    store = Forgetful(cache, clips=1)
    for letter in "abc":
        store.get(write(tmp_path, f"{letter}.mp4", letter))
    assert all(file.exists() for file in others)
    assert len(kept(cache)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
        lambda content: content[:50] + bytes([content[50] ^ 4]) + content[51:],
        lambda content: bytes(len(content)),
        lambda content: b"PK\3\4" + content,
    ],
)
def test_a_damaged_file_is_removed_and_decoded_again(
    tmp_path: Path, cache: Path, damage: object
) -> None:
    path = write(tmp_path, "a.mp4", "a")
    Store(cache).get(path)
    [file] = kept(cache)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    store = Store(cache)
    assert (store.get(path).frames == ord("a")).all()
    assert store.counts["decoded"] == 1
    assert file.read_bytes() == whole


def test_a_file_under_another_clips_name_is_not_believed(tmp_path: Path, cache: Path) -> None:
    Store(cache).get(write(tmp_path, "a.mp4", "a"))
    [a] = kept(cache)
    Store(cache).get(write(tmp_path, "b.mp4", "b"))
    [b] = set(kept(cache)) - {a}
    a.write_bytes(b.read_bytes())
    assert (Store(cache).get(tmp_path / "a.mp4").frames == ord("a")).all()


def test_no_half_written_file_is_ever_a_clip(tmp_path: Path, cache: Path) -> None:
    Store(cache).get(write(tmp_path, "a.mp4", "a"))
    names = [file.name for file in cache.rglob("*") if file.is_file()]
    assert len(names) == 2
    assert "lock" in names


def test_a_folder_that_cannot_be_made_is_named_with_the_setting(tmp_path: Path) -> None:
    occupied = write(tmp_path, "file", "")
    with pytest.raises(InputError, match=r"file/clips: .*data\.cache"):
        Store(occupied / "clips")


def test_a_disk_that_takes_no_more_costs_a_warning_and_no_clip(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Forgetful(cache)
    for number in range(256):
        write(cache, f"{number:02x}", "where the folder of a clip should be")
    with caplog.at_level(logging.WARNING):
        for letter in "abc":
            assert (store.get(write(tmp_path, f"{letter}.mp4", letter)).frames == ord(letter)).all()
    [record] = caplog.records
    assert str(cache) in record.getMessage()
    assert store.counts == {"decoded": 3, "reused": 0, "failed": 0, "unkept": 3}


OTHER = """
import sys, time
from pathlib import Path
import numpy as np
from videothinker.video.clips import ClipFolder
from videothinker.video.frames import Clip

cache, digest = Path(sys.argv[1]), sys.argv[2]
folder = ClipFolder(cache, 10**9)
with folder.alone(digest, 5.0):
    print("decoding", flush=True)
    input()
    time.sleep(0.3)  # in which the other asks for the clip
    frames = np.full((4, 3, 28, 28), 7, np.uint8)
    folder.write(Clip(frames=frames, sample_fps=2.0, metadata={}, digest=digest))
"""


def other_process(cache: Path, digest: str) -> subprocess.Popen[bytes]:
    """Another process that is just decoding a clip."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(cache), digest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=child_environment(),
    )
    assert process.stdout
    assert process.stdout.readline() == b"decoding\n"
    return process


def test_a_clip_that_another_process_decodes_is_waited_for(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, "a.mp4", "a")
    digest = Store(tmp_path / "elsewhere").get(path).digest
    with other_process(cache, digest) as other:
        store = Store(cache)
        with store._files.alone("0" * 64, 5.0):
            pass  # another clip need not be waited for
        assert other.stdin
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert (store.get(path).frames == 7).all()
    assert store.counts == {"decoded": 0, "reused": 1, "failed": 0}


def test_a_process_that_decodes_for_ever_is_not_waited_for(cache: Path) -> None:
    digest = "ab" * 32
    with other_process(cache, digest) as other, ClipFolder(cache, 10**9).alone(digest, 0.1):
        other.kill()


def test_closing_ends_the_decoder(cache: Path) -> None:
    store = Store(cache)
    store.close()
    assert store.decoder.asked == ["closed"]
