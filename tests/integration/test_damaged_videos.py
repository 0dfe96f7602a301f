"""Every damaged file is refused with a reason, in time, and no good one suffers for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from damaged_videos import write_damaged_videos
from mini_worlds import MINI_VIDEO

from videothinker.errors import InputError
from videothinker.video.clips import ClipStore
from videothinker.video.frames import FrameBudget, read_clip

SECONDS = 20.0


@pytest.fixture(scope="module")
def good(mini_world: Path) -> list[Path]:
    """Good videos."""
    return sorted((mini_world / "raw" / "videos").iterdir())


BUDGET = FrameBudget(**MINI_VIDEO.model_dump())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipStore]:
    """A store with the real decoder."""
    store = ClipStore(tmp_path_factory.mktemp("clips"), 1.0, BUDGET, SECONDS)
    yield store
    store.close()


def test_the_decoding_process_returns_what_this_one_decodes(
    store: ClipStore, good: list[Path]
) -> None:
    here, there = read_clip(good[0], BUDGET), store.get(good[0])
    assert np.array_equal(here.frames, there.frames)
    assert (here.sample_fps, here.metadata, here.digest) == (
        there.sample_fps,
        there.metadata,
        there.digest,
    )


def reason(store: ClipStore, path: Path) -> str:
    """Why a file is refused; nothing if it is not."""
    try:
        store.get(path)
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def test_every_damaged_file_has_its_reason_and_good_ones_are_read_between_them(
    store: ClipStore, good: list[Path], tmp_path: Path
) -> None:
    names = write_damaged_videos(tmp_path / "damaged", good[0])
    before, reasons, slowest = store.counts, {}, 0.0
    for number, name in enumerate(names):
        asked = time.monotonic()
        reasons[name] = reason(store, tmp_path / "damaged" / name)
        slowest = max(slowest, time.monotonic() - asked)
        assert store.get(good[number % len(good)]).frames.std() > 1
    assert len(reasons) >= 30
    assert [name for name, text in reasons.items() if not text.strip() or "\n" in text] == []
    assert slowest < SECONDS
    assert store.counts["failed"] - before["failed"] == len(names)
