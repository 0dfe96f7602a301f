"""Why a question is left out, by kind; decoder and preprocessor are pretended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from actors import loader
from actors.loader import PromptLoader
from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.errors import InputError
from videothinker.types import Failure, Prompt, Question


class Builder:
    """A prompt of as many tokens as the question's text has letters."""

    def __init__(self, *_: object) -> None:
        pass

    def build(self, question: Question, text: str, view: str) -> Prompt:
        if not question.video:
            raise InputError("no such video")
        return SimpleNamespace(token_ids=np.zeros(len(text)), size=8)  # type: ignore[return-value]


@pytest.fixture
def prompts(monkeypatch: pytest.MonkeyPatch, mini_base: Path, tmp_path: Path) -> PromptLoader:
    monkeypatch.setattr(loader, "PromptBuilder", Builder)
    return PromptLoader(mini_base, DataConfig(videos=tmp_path), VideoConfig(), longest=3)


def failure(prompts: PromptLoader, video: str, text: str) -> Failure | None:
    question = Question(id="q", video=video, text=text, options=(), answer="A")
    (why, *_), _ = prompts.prepare(question, text)
    return why


def test_a_video_that_cannot_be_read_is_one_kind(prompts: PromptLoader) -> None:
    assert failure(prompts, "", "abc") == Failure(kind="video", reason="no such video")


def test_a_prompt_that_is_too_long_is_another(prompts: PromptLoader) -> None:
    reason = "the prompt has 4 tokens, room is for 3"
    assert failure(prompts, "v.mp4", "abcd") == Failure(kind="too_long", reason=reason)


def test_what_fits_has_none(prompts: PromptLoader) -> None:
    assert failure(prompts, "v.mp4", "abc") is None
