"""Every test process gets what the command line sets up for itself; and one tiny world for all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from company import company
from hub_server import Hub, serving
from mini_worlds import MINI_VIDEO, prepared_world

from videothinker import cpu_torch
from videothinker.config.settings import VideoConfig
from videothinker.types import Question
from videothinker.video.frames import Clip, FrameBudget, read_clip

# Or each of the hundreds of processes that tests start compiles torch and vLLM for itself, which
# takes longer than what it then does.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Where vLLM keeps what it knows of a model's class: an engine that a test gives empty caches would
# import all of vLLM once more to find that out.
CACHES = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
os.environ.setdefault("VLLM_CACHE_ROOT", str(CACHES / "vllm"))
# Before anything imports torch: two processes with a thread per core each are slower than one.
os.environ["OMP_NUM_THREADS"] = "1"
cpu_torch.install()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Unit tests by file to whoever is free; all that starts Ray to one process, in order: side by
    side they take each other's cores, and Ray's 30 s for a start can run out.
    """
    from xdist.scheduler import LoadScopeScheduling

    class InCompany(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return company(nodeid)

    return InCompany(config, log)


@pytest.fixture(scope="session")
def mini_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 mini CLEVRER videos (`raw/videos`), prepared (`questions.parquet`, `bias.parquet`)."""
    return prepared_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def mini_questions(mini_world: Path) -> list[Question]:
    """All questions of the mini world."""
    from videothinker.data.questions import read_questions

    return read_questions(mini_world / "questions.parquet")


class ReadHere:
    """Clips decoded in this process; the real store has a process of its own for that."""

    def __init__(self, video: VideoConfig) -> None:
        self._video = FrameBudget.model_validate(video.model_dump())

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, self._video, start, end)


@pytest.fixture(scope="session")
def read_here() -> type[ReadHere]:
    """A source of clips for a PromptBuilder."""
    return ReadHere


@pytest.fixture(scope="session")
def mini_video() -> VideoConfig:
    """The frame budget under which a mini cell is one visual token."""
    return MINI_VIDEO


@pytest.fixture(scope="session")
def mini_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2.5-VL with random weights."""
    from videothinker.mini.base.build import random_base

    base = tmp_path_factory.mktemp("base") / "model"
    random_base(base, seed=3)
    return base


@pytest.fixture(scope="session")
def mini_base_qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen3-VL with random weights."""
    from videothinker.mini.base.build import random_base

    base = tmp_path_factory.mktemp("base3") / "model"
    random_base(base, seed=3, family="qwen3_vl")
    return base


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The only Hub that there is, for this process; an empty cache, and nobody logged in."""
    from huggingface_hub import constants

    monkeypatch.chdir(tmp_path)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with serving() as served:
        for name, value in served.settings(tmp_path / "home").items():
            monkeypatch.setattr(constants, name, value)
        yield served


@pytest.fixture(scope="session")
def even_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with four heads in place of three, which two ranks can share."""
    from videothinker.mini.base import tiny
    from videothinker.mini.base.build import random_base

    base = tmp_path_factory.mktemp("even") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "HIDDEN", 4 * tiny.HEAD)
        random_base(base, seed=3)
    return base
