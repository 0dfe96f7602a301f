from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

from videothinker.errors import InputError
from videothinker.method.prompts import messages
from videothinker.mini.base import build
from videothinker.mini.base.build import BUDGET, build_base, random_base
from videothinker.mini.base.habits import measure
from videothinker.mini.base.lessons import IGNORE, SECONDS_PER_GRID, LessonMaker
from videothinker.mini.base.probes import Probes, losses
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.base.warmstart import WarmStart, warm_start
from videothinker.mini.render import GRID, VIDEO_TOKENS, draw, patches
from videothinker.mini.world import make_scene
from videothinker.model.checkpoint import read_budget
from videothinker.model.families.known import family_in
from videothinker.types import Shown


@pytest.fixture(scope="module")
def model(mini_base: Path) -> Qwen2_5_VLForConditionalGeneration:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(mini_base).eval()


@pytest.fixture(scope="module")
def processor(mini_base: Path) -> Qwen2_5_VLProcessor:
    return Qwen2_5_VLProcessor.from_pretrained(mini_base)


def test_patches_are_those_of_the_real_video_processor(processor: Qwen2_5_VLProcessor) -> None:
    frames = draw(make_scene(0, 3), 0)
    text = processor.apply_chat_template(
        messages(make_scene(0, 3).question()), tokenize=False, add_generation_prompt=True
    )
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    inputs = processor(text=[text], videos=[video], do_sample_frames=False, return_tensors="pt")
    assert inputs["video_grid_thw"].tolist() == [list(GRID)]
    assert int((inputs["input_ids"] == processor.video_token_id).sum()) == VIDEO_TOKENS == 45
    np.testing.assert_allclose(inputs["pixel_values_videos"], patches(frames), atol=1e-5)


def test_generation_ends_at_either_end_token_and_samples_at_temperature_one(
    mini_base: Path,
) -> None:
    config = GenerationConfig.from_pretrained(mini_base)
    tokenizer = make_tokenizer()
    assert config.eos_token_id == tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert config.pad_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert (config.do_sample, config.temperature) == (True, 1.0)


def test_sizes_are_ones_that_vllm_runs(model: Qwen2_5_VLForConditionalGeneration) -> None:
    text = model.config.text_config
    assert text.hidden_size // text.num_attention_heads in (32, 64)
    assert text.hidden_size % 32 == 0
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_checkpoint_never_overwrites_another(mini_base: Path) -> None:
    with pytest.raises(InputError, match="already holds something"):
        random_base(mini_base, seed=0)


def test_lesson_positions_are_the_samplers(model: Qwen2_5_VLForConditionalGeneration) -> None:
    lessons = LessonMaker(make_tokenizer(), 0).batch(1)
    first_question = int((lessons.labels[0] != IGNORE).nonzero()[0]) + 1
    ids = lessons.token_ids[0, :first_question].numpy()
    shown = Shown(medium="video", grid=GRID, seconds_per_grid=SECONDS_PER_GRID, digest="")
    positions = family_in(model.config).positions(ids, [shown])
    np.testing.assert_array_equal(lessons.positions[:, 0, :first_question], positions)
    assert lessons.positions[:, 0, first_question].tolist() == [positions.max() + 1] * 3


def test_a_branch_of_a_row_reads_like_the_same_text_alone(
    model: Qwen2_5_VLForConditionalGeneration,
) -> None:
    lessons = LessonMaker(make_tokenizer(), 1).batch(1)
    grid = torch.tensor([GRID])
    branch = lessons.mask[0, 0, int((lessons.labels[0] != IGNORE).nonzero()[-1])]
    inputs = {"pixel_values_videos": lessons.pixels[0], "video_grid_thw": grid, "use_cache": False}
    with torch.no_grad():
        row = model(
            input_ids=lessons.token_ids,
            position_ids=lessons.positions,
            attention_mask={"full_attention": lessons.mask},
            **inputs,
        ).logits
        alone = model(
            input_ids=lessons.token_ids[:, branch],
            position_ids=lessons.positions[:, :, branch],
            **inputs,
        ).logits
    torch.testing.assert_close(row[:, branch], alone, atol=1e-4, rtol=1e-4)


def test_every_loss_of_the_warm_start_reaches_the_model(
    model: Qwen2_5_VLForConditionalGeneration,
) -> None:
    tokenizer = make_tokenizer()
    sizes = model.config.text_config
    probes = Probes(tokenizer, sizes.hidden_size, sizes.vocab_size)
    parts = losses(model, probes, LessonMaker(tokenizer, 2).batch(1))
    embedding = model.get_input_embeddings().weight
    vision = model.model.visual.patch_embed.proj.weight
    for name, loss in parts.items():
        assert torch.isfinite(loss), name
        found = torch.autograd.grad(loss, [embedding, vision], retain_graph=True, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in found), name


def test_the_warm_start_reports_its_last_losses_and_its_progress(
    model: Qwen2_5_VLForConditionalGeneration,
) -> None:
    seen: list[int] = []
    settings = WarmStart(looking_steps=2, steps=3, rows=1)
    final = warm_start(
        deepcopy(model), make_tokenizer(), 0, settings, lambda done, total, note: seen.append(done)
    )
    assert {"text", "words", "slots", "gaze_look"} <= final.keys()
    assert seen == [5]


def test_a_built_base_says_what_it_was_trained_to_see_and_what_it_then_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "measure", partial(measure, scenes=6))
    told: list[int] = []
    settings = WarmStart(looking_steps=1, steps=2, rows=2)
    figures = build_base(
        tmp_path / "base", seed=0, settings=settings, progress=lambda done, *_: told.append(done)
    )
    assert read_budget(tmp_path / "base") == BUDGET
    assert figures["loss_text"] > 0
    assert 0 <= figures["free_format"] <= 1
    assert told == [3]
