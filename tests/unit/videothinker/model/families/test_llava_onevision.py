"""LLaVA-OneVision against transformers' own model and processor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from small_models import FRAME, write_llava_onevision
from transformers import LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor

from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.model.families.known import KNOWN, shape_of
from videothinker.model.families.llava_onevision import LlavaOnevision
from videothinker.model.families.pixels import normalised
from videothinker.model.policy import Policy, load_model
from videothinker.model.processing import PromptBuilder
from videothinker.types import Prompt, Question, Shown
from videothinker.video.frames import Clip, FrameBudget, read_clip

BUDGET = FrameBudget(
    fps=2,
    min_frames=4,
    max_frames=6,
    min_pixels=64 * 64,
    max_pixels=128 * 128,
    total_pixels=6 * 128 * 128,
    picture_min_pixels=64 * 64,
    picture_max_pixels=128 * 128,
)
A_FRAME, A_PICTURE = 9, 25
"""Tokens of each, without the last one."""


class Clips:
    """Decoded in this process."""

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        return read_clip(path, BUDGET, start, end)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava_onevision(tmp_path_factory.mktemp("llava") / "model")


@pytest.fixture(scope="module")
def files(mini_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos and two pictures."""
    folder = tmp_path_factory.mktemp("shown")
    for number, video in enumerate(sorted((mini_world / "raw" / "videos").iterdir())[:2]):
        (folder / f"v{number}.mp4").symlink_to(video)
    random = np.random.default_rng(0)
    for number, size in enumerate(((64, 96), (120, 70))):
        pixels = random.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{number}.png")
    return folder


@pytest.fixture(scope="module")
def builder(model: Path, files: Path) -> PromptBuilder:
    return PromptBuilder(model, files, Clips())


@pytest.fixture(scope="module")
def plain(model: Path) -> Any:
    """The model as transformers runs it."""
    return LlavaOnevisionForConditionalGeneration.from_pretrained(
        model, dtype=torch.float32, attn_implementation="eager"
    )


def showing(builder: PromptBuilder, *shown: str, words: str = "What happens?") -> Prompt:
    video, *also = shown or ("",)
    question = Question(
        id="q", video=video, also=tuple(also), text=words, options=(("A", "x"),), answer="A"
    )
    return builder.build(question, words)


def plain_logprobs(plain: Any, prompt: Prompt, completion: np.ndarray) -> torch.Tensor:
    """Of a completion's tokens [T], in a row of its own."""
    frames, given = normalised(prompt.pixel_values, prompt.colours), {}
    if prompt.shown and prompt.shown[0].medium == "video":
        given["pixel_values_videos"] = frames.unflatten(0, (len(prompt.shown), -1))
    elif prompt.shown:
        pictures = len(prompt.shown)  # more than one: as they are, and not in crops
        given = {
            "pixel_values": frames[:, None],
            "image_sizes": torch.tensor([[FRAME, FRAME]] * pictures),
            "batch_num_images": torch.tensor([pictures]),
        }
    row = torch.from_numpy(np.concatenate([prompt.token_ids, completion]))
    logits = plain(input_ids=row[None], use_cache=False, **given).logits[0]
    before = logits[len(prompt.token_ids) - 1 : -1]
    forbidden = LlavaOnevision(plain.config).forbidden
    scores = before.index_fill(1, torch.tensor(forbidden), -torch.inf).log_softmax(1)
    return scores.gather(1, torch.from_numpy(completion)[:, None])[:, 0]


def of_all(
    policy: Policy, prompts: Sequence[Prompt], completions: Sequence[np.ndarray]
) -> list[torch.Tensor]:
    """Of each prompt's completions [T], all of them in one row."""
    logprobs, _ = policy([(prompt, completions) for prompt in prompts], 1.0)
    lengths = [len(completion) for completion in completions] * len(prompts)
    return [row[:length] for row, length in zip(logprobs, lengths, strict=True)]


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_packed_row_equals_transformers_in_log_probs_and_gradients(
    checkpointed: bool, model: Path, plain: Any, builder: PromptBuilder
) -> None:
    shown = [("v0.mp4",), ("v1.mp4", "v0.mp4"), (), ("p1.png", "p0.png")]
    prompts = [showing(builder, *some) for some in shown]
    random = np.random.default_rng(0)
    completions = [random.integers(5, 100, size=length) for length in (5, 1, 9)]
    trained = load_model(model, "float32")
    if checkpointed:
        trained.gradient_checkpointing_enable()
    policy = Policy(trained.train())
    packed = of_all(policy, prompts, completions)
    torch.cat(packed).sum().backward()

    plain.zero_grad()
    apart = [plain_logprobs(plain, prompt, one) for prompt in prompts for one in completions]
    torch.testing.assert_close(packed, apart, atol=2e-5, rtol=0)
    torch.cat(apart).sum().backward()
    found = dict(trained.named_parameters())
    everything = torch.nn.utils.get_total_norm(
        [parameter.grad for parameter in plain.parameters() if parameter.grad is not None]
    )
    unused = {name for name, parameter in plain.named_parameters() if parameter.grad is None}
    assert unused == {name for name, parameter in found.items() if not parameter.requires_grad}
    assert all("post_layernorm" in name for name in unused)
    for name, parameter in plain.named_parameters():
        if name not in unused:
            difference = (found[name].grad - parameter.grad).norm()
            # nothing turns the tower's keys, so their biases move nothing and have noise alone
            assert difference < 1e-4 * parameter.grad.norm() + 1e-7 * everything, name


def test_words_alone_are_worth_the_same_beside_a_video(model: Path, builder: PromptBuilder) -> None:
    policy = Policy(load_model(model, "float32"))
    words, video = showing(builder), showing(builder, "v0.mp4")
    completions = [np.array([7, 8, 9])]
    alone, beside = (of_all(policy, some, completions) for some in ([words], [video, words]))
    torch.testing.assert_close(alone[-1], beside[-1], atol=1e-5, rtol=0)
    alone[-1].sum().backward()
    newline = policy.model.model.image_newline
    assert newline.grad is not None, "or ranks that show something would wait for this one"
    assert not newline.grad.any()


@pytest.mark.parametrize("shown", [("v0.mp4",), ("v0.mp4", "v1.mp4"), ("p0.png", "p1.png")])
def test_tokens_and_pixels_are_those_of_the_processor(
    shown: tuple[str, ...], model: Path, builder: PromptBuilder, files: Path
) -> None:
    prompt = showing(builder, *shown)
    processor = LlavaOnevisionProcessor.from_pretrained(model)
    clips = [torch.from_numpy(np.array(Clips().get(files / name).frames)) for name in shown]
    marks = "".join("<video>\n" if name.endswith("mp4") else "<image>\n" for name in shown)
    text = f"<|im_start|>user\n{marks}What happens?<|im_end|>\n<|im_start|>assistant\n"
    if shown[0].endswith("mp4"):
        inputs = processor(text=[text], videos=clips, do_sample_frames=False, return_tensors="pt")
        pixels = torch.cat(list(inputs["pixel_values_videos"]))
    else:
        pictures = [[clip[0] for clip in clips]]
        inputs = processor(text=[text], images=pictures, return_tensors="pt")
        pixels = torch.cat(list(inputs["pixel_values"]))
    assert prompt.token_ids.tolist() == inputs["input_ids"][0].tolist()
    assert prompt.pixel_values.dtype == np.uint8
    assert torch.equal(normalised(prompt.pixel_values, prompt.colours), pixels)
    assert prompt.pixel_values.shape[1:] == (3, FRAME, FRAME)


def test_a_frame_has_a_token_for_four_patches_and_what_is_shown_one_at_its_end(
    builder: PromptBuilder,
) -> None:
    prompt = showing(builder, "p0.png", "v0.mp4")
    family = LlavaOnevision(builder._family.config)
    assert [one.grid for one in prompt.shown] == [(1, 5, 5), (6, 5, 5)]
    assert [family.tokens_of(one) for one in prompt.shown] == [A_PICTURE + 1, 6 * A_FRAME + 1]
    found = Counter(prompt.token_ids.tolist())
    assert found[family.marks["picture"]] == A_PICTURE + 1
    assert found[family.marks["video"]] == 6 * A_FRAME + 1
    assert [len(pixels) for _, pixels, _ in family.apart(prompt)] == [1, 6]


def test_positions_count_tokens_on_every_axis(builder: PromptBuilder) -> None:
    prompt = showing(builder, "v0.mp4")
    counted = list(range(len(prompt.token_ids)))
    positions = builder._family.positions(prompt.token_ids, prompt.shown)
    assert positions.tolist() == [counted] * 3
    assert prompt.next_position == len(counted)


def test_what_is_not_where_it_was_asked_for_is_refused(builder: PromptBuilder) -> None:
    with pytest.raises(InputError, match="not in the order asked for"):
        showing(builder, "v0.mp4", "p0.png")
    with pytest.raises(InputError, match=r"56 tokens of the prompt stand for .* has 55"):
        showing(builder, "v0.mp4", words="What is a <video>?")
    with pytest.raises(InputError, match="1 tokens of the prompt stand for"):
        showing(builder, words="What is an <image>?")


@pytest.mark.parametrize("tied", [False, True])
def test_the_formula_counts_each_part_of_a_checkpoint(tied: bool, tmp_path: Path) -> None:
    folder = write_llava_onevision(tmp_path / "model", tied=tied)
    counted: Counter[str] = Counter()
    for name, parameter in load_model(folder, "float32").named_parameters():
        counted[LlavaOnevision.part_of(name)] += parameter.numel()
    shape = shape_of(folder)
    assert counted == {
        "vision": shape.vision,
        "merger": shape.merger,
        "embeddings": shape.embeddings,
        "layers": shape.language,
    }
    assert shape.tied is tied


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llava-onevision-qwen2-0.5b-ov-hf", 893_675_552),
        ("llava-onevision-qwen2-7b-ov-hf", 8_030_807_584),
    ],
)
def test_released_sizes_have_the_parameters_of_transformers_model(
    name: str, parameters: int
) -> None:
    assert KNOWN[name].parameters == parameters


def test_the_plan_knows_that_every_frame_takes_as_many_tokens() -> None:
    shape = KNOWN["llava-onevision-qwen2-0.5b-ov-hf"]
    for pixels in (64 * 28 * 28, 256 * 28 * 28):
        video = VideoConfig(min_frames=4, max_frames=16, max_pixels=pixels)
        assert shape.tokens(video) == 16 * 196 + 1


def test_parameters_are_published_under_the_names_of_the_files(model: Path) -> None:
    with safe_open(model / "model.safetensors", "np") as tensors:
        files = {*tensors.keys()}
    parameters = load_model(model, "float32").named_parameters()
    named = {LlavaOnevision.released_name(name) for name, _ in parameters}
    older = {
        name.removeprefix("model.").replace("language_model.", "language_model.model.")
        for name in named
    }
    assert older == files


@pytest.mark.parametrize(
    "other",
    [
        {"text_config": {"model_type": "mistral"}},
        {"vision_config": {"model_type": "clip_vision_model"}},
        {"vision_config": {"vision_use_head": True}},
        {"vision_feature_layer": -2},
    ],
)
def test_a_configuration_that_is_not_covered_is_refused(
    other: dict[str, Any], model: Path, tmp_path: Path
) -> None:
    document = json.loads((model / "config.json").read_text())
    for key, value in other.items():
        document[key] = document[key] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"not the configuration of a LLaVA.*only Qwen2 on all"):
        shape_of(tmp_path)


def test_vllm_is_handed_whole_frames_of_each() -> None:
    vision = SimpleNamespace(image_size=28, patch_size=14)
    family = LlavaOnevision(SimpleNamespace(vision_config=vision))
    shown = Shown(medium="video", grid=(2, 2, 2), seconds_per_grid=1.0, digest="")
    frames = np.zeros((2, 3, 28, 28), np.float32)
    (each,) = family.features("video", [(shown, frames)] * 2).values()
    assert [tuple(tensor.shape) for tensor in each] == [(2, 3, 28, 28)] * 2
