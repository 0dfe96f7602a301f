"""What a prompt shows, in every family: a video, pictures, several of both, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import question
from mini_worlds import MINI_VIDEO
from PIL import Image
from small_models import write_qwen2_vl, write_qwen3_vl

from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.mini.base.build import random_base
from videothinker.model.families.known import frames_for, shape_of
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import ClipSource, PromptBuilder
from videothinker.types import Prompt, Question

KINDS = {
    "video": ("video.mp4",),
    "picture": ("a.png",),
    "several": ("b.png", "video.mp4", "a.png", "video.mp4"),
    "words": ("",),
}


def write_mini(out: Path) -> Path:
    random_base(out, 0)
    return out


@pytest.fixture(
    scope="module", params=[write_mini, write_qwen2_vl, write_qwen3_vl], ids=["mini", "2", "3"]
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = request.param(tmp_path_factory.mktemp("model") / "model")
    return folder


@pytest.fixture(scope="module")
def build(
    model: Path,
    mini_world: Path,
    tmp_path_factory: pytest.TempPathFactory,
    read_here: Callable[[VideoConfig], ClipSource],
) -> Callable[..., Prompt]:
    """A prompt that shows some files."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "video.mp4").symlink_to(next(iter((mini_world / "raw" / "videos").glob("*.mp4"))))
    random = np.random.default_rng(0)
    for name, size in (("a.png", (80, 120)), ("b.png", (90, 60))):
        pixels = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    video = MINI_VIDEO.model_copy(update={"picture_min_pixels": 3136})
    builder = PromptBuilder(model, folder, read_here(frames_for(model, video)))

    def built(shows: tuple[str, ...], words: str = "What happens?", **part: float) -> Prompt:
        asked: Question = question(video=shows[0], also=shows[1:], **part)
        return builder.build(asked, words)

    return built


@pytest.fixture(scope="module")
def policy(model: Path) -> Policy:
    return Policy(load_model(model, "float32"))


def completions() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(5, 100, size=length) for length in (4, 7)]


def test_a_row_of_everything_equals_a_row_of_each(
    policy: Policy, build: Callable[..., Prompt]
) -> None:
    groups = [(build(shows), completions()) for shows in KINDS.values()]
    with torch.no_grad():
        together, _ = policy(groups, 1.0)
        for place, group in enumerate(groups):
            alone, _ = policy([group], 1.0)
            assert torch.allclose(together[2 * place : 2 * place + 2], alone, atol=2e-5)


def test_a_prompt_has_what_it_shows_in_its_order(model: Path, build: Callable[..., Prompt]) -> None:
    prompt = build(KINDS["several"])
    assert [one.medium for one in prompt.shown] == ["picture", "video", "picture", "video"]
    assert [one.grid[0] for one in prompt.shown] == [1, 3, 1, 3]
    assert prompt.patches == len(prompt.pixel_values)
    assert prompt.shown[1] == prompt.shown[3]
    side = shape_of(model).side
    height, width = prompt.shown[2].grid[1:]
    assert abs(width / height - 120 / 80) <= 0.5, f"squares of {side} pixels"
    words = build(KINDS["words"])
    assert (words.shown, words.patches) == ((), 0)
    assert words.next_position == len(words.token_ids)


def test_a_part_is_of_the_first_that_is_shown_alone(build: Callable[..., Prompt]) -> None:
    one, other = build(("video.mp4", "video.mp4"), start=0.0, end=2.5).shown
    [whole] = build(("video.mp4",)).shown
    assert (one.digest != whole.digest, other.digest == whole.digest) == (True, True)


def test_other_pixels_and_another_order_are_another_question(
    policy: Policy, build: Callable[..., Prompt]
) -> None:
    with torch.no_grad():
        one, other = (
            policy([(build(shows), completions())], 1.0)[0]
            for shows in (("a.png", "b.png"), ("b.png", "a.png"))
        )
    assert float((one - other).abs().max()) > 1e-3


def test_words_alone_go_through_the_tower_and_teach_it_nothing(
    policy: Policy, build: Callable[..., Prompt]
) -> None:
    """Or a rank with such a row would not take part in what the others exchange."""
    policy([(build(KINDS["words"]), completions())], 1.0)[0].sum().backward()
    tower = dict(policy.model.model.visual.named_parameters())
    assert {name for name, one in tower.items() if one.grad is None} == set()
    assert max(float(one.grad.abs().max()) for one in tower.values() if one.grad is not None) == 0
    policy.zero_grad()


def test_more_than_an_engine_takes_is_refused(build: Callable[..., Prompt]) -> None:
    with pytest.raises(InputError, match="shows 17 pictures and videos, and 16 is the most"):
        build(("a.png",) * 17)


def test_placeholders_among_the_words_are_refused(build: Callable[..., Prompt]) -> None:
    with pytest.raises(InputError, match=r"words hold <\|image_pad\|>; take that out"):
        build(("a.png",), "What is <|image_pad|>?")
    with pytest.raises(InputError, match=r"take placeholders such as <\|video_pad\|> out"):
        build(("",), "What is <|image_pad|>?")
