"""Stills of a video for a page that stands alone."""

import base64
import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from videothinker.config.settings import DataConfig
from videothinker.errors import VideoThinkerError
from videothinker.report.stills import Stills
from videothinker.video.clips import ClipFolder, ClipStore
from videothinker.video.decoder import Decoder
from videothinker.video.frames import Clip, FrameBudget, clip_digest, content_digest


@pytest.fixture
def of(tmp_path: Path) -> Iterator[Stills]:
    """Stills of a folder without a video, beside a folder for clips that is not there."""
    data = DataConfig(videos=tmp_path / "videos", cache=tmp_path / "clips")
    with closing(Stills(data, FrameBudget())) as stills:
        yield stills


def test_a_video_that_is_not_there_gives_no_stills(of: Stills, tmp_path: Path) -> None:
    assert of.of(["video.mp4"], None, None) == []
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_cannot_decode_gives_no_stills(
    of: Stills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decoder, "decode", Mock(side_effect=VideoThinkerError("no decoder")))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "video.mp4").write_bytes(b"something")
    assert of.of(["video.mp4"], None, None) == []


def test_stills_are_few_small_and_in_order(of: Stills, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.zeros((16, 3, 240, 400), np.uint8)
    frames += np.arange(16, dtype=np.uint8)[:, None, None, None]
    monkeypatch.setattr(ClipStore, "get", lambda *_: SimpleNamespace(frames=frames))
    uris = of.of(["video.mp4"], None, None)
    images = [Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) for uri in uris]
    assert [image.getpixel((0, 0)) for image in images] == [(n, n, n) for n in range(0, 16, 2)]
    assert images[0].size == (200, 120)


def test_clips_that_a_run_has_kept_are_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataConfig(videos=tmp_path, cache=tmp_path / "clips")
    (tmp_path / "video.mp4").write_bytes(b"something")
    clip = Clip(
        frames=np.zeros((2, 3, 28, 56), np.uint8),
        sample_fps=2.0,
        metadata={},
        digest=clip_digest(content_digest(tmp_path / "video.mp4"), FrameBudget(), None, None),
    )
    ClipFolder(data.cache, 2**20).write(clip)
    monkeypatch.setattr(Decoder, "decode", lambda *_: pytest.fail("it was decoded"))
    with closing(Stills(data, FrameBudget())) as stills:
        assert len(stills.of(["video.mp4"], None, None)) == 2


def test_a_folder_of_clips_that_is_closed_to_us_costs_no_page(tmp_path: Path) -> None:
    data = DataConfig(videos=tmp_path, cache=tmp_path / "clips")
    (data.cache / "lock").mkdir(parents=True)  # it cannot be opened, whoever asks
    with closing(Stills(data, FrameBudget())) as stills:
        assert stills.of(["gone.mp4"], None, None) == []
