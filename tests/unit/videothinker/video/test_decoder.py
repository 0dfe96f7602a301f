"""What happens to the caller when decoding goes wrong: never more than a reason."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from videothinker.child import child_environment, receive, send
from videothinker.errors import InputError, VideoThinkerError
from videothinker.video.decoder import Decoder
from videothinker.video.frames import FrameBudget

CHILD = """
import ctypes, os, time
import numpy as np
from videothinker import child
from videothinker.video import decoder
from videothinker.video.frames import Clip
from videothinker.errors import InputError

def read(source, digest, video, start, end):
    shape = (1, 3, 28, 56)
    match source.stem:
        case "refused": raise InputError(f"{source}: {digest} {video.max_frames} {start} {end}")
        case "crash": ctypes.string_at(0)
        case "bug": {}["no such key"]
        case "hang": time.sleep(60)
        case "swell": bytearray(5 * 2**30)
        case "chatter": print("{}", flush=True); os.write(1, b"50%\\r")
        case "large": shape = (8, 3, 448, 448)
        case "spam":
            for _ in range(40): os.write(2, b"x" * 2**20)
        case "stutter":
            os.write(max(int(name) for name in os.listdir("/proc/self/fd")[:-1]), b"{")
            time.sleep(60)
    frames = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    return Clip(frames=frames, sample_fps=os.getpid(), metadata={"fps": 2.0}, digest=digest)

child.ORPHAN_SECONDS = 0.1
decoder.serve(read)
"""
"""A real child, in which a video's name says what decoding it does. Clips tell who decoded them."""
COMMAND = (sys.executable, "-c", CHILD)
GOOD = Path("/videos/good.mp4")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    """Replaces its child by itself, so that one does for all tests."""
    decoder = Decoder(20.0, COMMAND)
    yield decoder
    decoder.close()


def child_of(decoder: Decoder) -> int:
    """The process that decodes a good video."""
    return int(decoder.decode(GOOD, "d", FrameBudget()).sample_fps)


def reason(decoder: Decoder, name: str) -> str:
    """Why a video is not decoded."""
    path = Path(f"/videos/{name}.mp4")
    with pytest.raises(InputError) as caught:
        decoder.decode(path, "d", FrameBudget())
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_clip_comes_back_as_it_was(decoder: Decoder) -> None:
    clip = decoder.decode(GOOD, "digest", FrameBudget())
    assert clip.frames.shape == (1, 3, 28, 56)
    assert np.array_equal(clip.frames.ravel(), np.arange(3 * 28 * 56) % 251)
    assert (clip.digest, clip.metadata) == ("digest", {"fps": 2.0})


def test_a_clip_may_be_larger_than_a_pipe(decoder: Decoder) -> None:
    clip = decoder.decode(Path("large.mp4"), "d", FrameBudget())
    assert np.array_equal(clip.frames.ravel(), np.arange(clip.frames.size) % 251)


def test_the_budget_and_the_part_reach_the_child(decoder: Decoder) -> None:
    with pytest.raises(InputError) as caught:
        decoder.decode(Path("refused.mp4"), "digest", FrameBudget(max_frames=7), 1.5, None)
    assert str(caught.value) == "refused.mp4: digest 7 1.5 None"


def test_one_child_serves_every_video(decoder: Decoder) -> None:
    before = child_of(decoder)
    assert reason(decoder, "refused") == "d 16 None None"
    assert child_of(decoder) == before


def test_what_a_library_prints_is_no_answer(decoder: Decoder) -> None:
    before = child_of(decoder)
    decoder.decode(Path("chatter.mp4"), "d", FrameBudget())
    assert child_of(decoder) == before


def test_ctrl_c_is_the_parents_affair(decoder: Decoder) -> None:
    child = child_of(decoder)
    os.kill(child, signal.SIGINT)
    assert child_of(decoder) == child
    assert os.getpgid(child) != os.getpgid(0)


def test_a_crash_is_named_and_the_next_video_gets_another_child(decoder: Decoder) -> None:
    before = child_of(decoder)
    assert reason(decoder, "crash") == "the decoder crashed (SIGSEGV)"
    assert child_of(decoder) != before


def test_a_bug_is_told_by_its_last_line(decoder: Decoder) -> None:
    assert reason(decoder, "bug") == "the decoder crashed (exit code 1: KeyError: 'no such key')"


def test_memory_beyond_the_limit_is_not_given(decoder: Decoder) -> None:
    assert reason(decoder, "swell") == "the decoder crashed (exit code 1: MemoryError)"


def test_messages_without_end_do_not_fill_the_disk(decoder: Decoder) -> None:
    assert "crashed" in reason(decoder, "spam")


def test_a_child_lost_between_two_videos_is_the_fault_of_neither(decoder: Decoder) -> None:
    before = child_of(decoder)
    os.kill(before, signal.SIGKILL)
    time.sleep(0.1)
    assert child_of(decoder) != before


def test_a_child_that_has_had_nothing_to_do_for_long_ends(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = child_of(decoder)
    decoder.rest()
    assert child_of(decoder) == before
    monkeypatch.setattr("videothinker.video.decoder.REST_SECONDS", 0.0)
    decoder.rest()
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert child_of(decoder) != before


@pytest.mark.parametrize("name", ["hang", "stutter"])
def test_a_hang_ends_at_the_limit_and_the_next_video_gets_another_child(name: str) -> None:
    decoder = Decoder(0.5, COMMAND)
    before = child_of(decoder)
    asked = time.monotonic()
    assert reason(decoder, name) == "took longer than 0.5 s to decode"
    assert time.monotonic() - asked < 1.5
    assert child_of(decoder) != before
    decoder.close()


def test_a_decoder_that_does_not_start_is_no_videos_fault() -> None:
    decoder = Decoder(20.0, (sys.executable, "-c", "import no_such_library"))
    with pytest.raises(VideoThinkerError, match="no_such_library") as caught:
        decoder.decode(GOOD, "d", FrameBudget())
    assert not isinstance(caught.value, InputError)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A child without a decoder that looks after it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(COMMAND, **pipes, env=child_environment()) as child:
        receive(child, 20)
        yield child
        child.kill()


def test_a_child_ends_when_its_parent_has_ended(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin
    child.stdin.close()
    assert child.wait(5) == 0


def test_a_child_that_hangs_ends_though_its_parent_has(child: subprocess.Popen[bytes]) -> None:
    part = {"start": None, "end": None, "seconds": 0.1}
    send(child, {"source": "hang.mp4", "digest": "d", "video": {}, **part})
    assert child.wait(5) == -signal.SIGALRM
