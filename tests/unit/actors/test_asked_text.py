"""The words that reach the policy, through the real loader and a real tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from actors.loader import PromptLoader
from videothinker.config.settings import DataConfig, VideoConfig
from videothinker.method.prompts import direct_text, run_text, training_text
from videothinker.types import Question


def test_a_question_is_asked_in_its_wording_about_the_same_video(
    mini_base: Path,
    mini_world: Path,
    mini_video: VideoConfig,
    mini_questions: list[Question],
    tmp_path: Path,
) -> None:
    data = DataConfig(videos=mini_world / "raw" / "videos", cache=tmp_path)
    loader = PromptLoader(mini_base, data, mini_video, longest=512)
    tokenizer = Tokenizer.from_file(str(mini_base / "tokenizer.json"))
    prompts = {}
    for wording, expected in (("training", training_text), ("direct", direct_text)):
        question = replace(mini_questions[0], wording=wording)  # type: ignore[arg-type]
        (failure, *_), prompt = loader.prepare(question, run_text(question))
        assert failure is None
        assert prompt is not None
        said = tokenizer.decode(prompt.token_ids.tolist())
        assert expected(question) in said
        assert ("<think>" in said) is (wording == "training")
        prompts[wording] = prompt
    thinking, direct = prompts["training"], prompts["direct"]
    assert np.array_equal(thinking.pixel_values, direct.pixel_values)
    assert direct.question.wording == "direct"
