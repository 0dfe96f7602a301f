from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig
from transformers.video_utils import VideoMetadata

from videothinker.errors import InputError
from videothinker.method.prompts import messages
from videothinker.mini.base import build, lessons
from videothinker.mini.base.build import BUDGET, TINY, build_base, random_base
from videothinker.mini.base.habits import asked_about, measure
from videothinker.mini.base.lessons import IGNORE, LessonMaker
from videothinker.mini.base.probes import Gaze, Probes, gaze_loss, losses, read, see
from videothinker.mini.base.tokenizer import make_tokenizer
from videothinker.mini.base.warmstart import WarmStart, warm_start
from videothinker.mini.render import GRID, VIDEO_TOKENS, draw, patches
from videothinker.mini.settings import FAMILIES
from videothinker.mini.sprites import CELL
from videothinker.mini.world import FPS, FRAMES, Kind, Scene, make_scene
from videothinker.model.checkpoint import read_budget
from videothinker.model.families.family import Family
from videothinker.model.families.known import family_of, frames_for, kind_of, shape_of

BASES = {"qwen2_5_vl": "mini_base", "qwen3_vl": "mini_base_qwen3"}


@pytest.fixture(scope="module", params=FAMILIES)
def base(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(BASES[request.param])
    return found


@pytest.fixture(scope="module")
def family(base: Path) -> Family:
    return family_of(base)


@pytest.fixture(scope="module")
def model(base: Path, family: Family) -> Any:
    return family.model_class().from_pretrained(base).eval()


@pytest.fixture(scope="module")
def processor(base: Path, family: Family) -> Any:
    return family.processor_class().from_pretrained(base)


def test_there_is_a_base_of_every_family_that_is_named() -> None:
    assert tuple(TINY) == FAMILIES


def test_patches_are_those_of_the_real_video_processor(processor: Any) -> None:
    frames = draw(make_scene(0, 3), 0)
    text = processor.apply_chat_template(
        messages(make_scene(0, 3).question()), tokenize=False, add_generation_prompt=True
    )
    inputs = processor(
        text=[text],
        videos=[torch.from_numpy(frames).permute(0, 3, 1, 2)],
        video_metadata=[
            VideoMetadata(fps=FPS, frames_indices=list(range(FRAMES)), total_num_frames=FRAMES)
        ],
        do_sample_frames=False,
        return_tensors="pt",
    )
    assert inputs["video_grid_thw"].tolist() == [list(GRID)]
    assert int((inputs["input_ids"] == processor.video_token_id).sum()) == VIDEO_TOKENS == 45
    np.testing.assert_allclose(inputs["pixel_values_videos"], patches(frames), atol=1e-5)


def test_generation_ends_at_either_end_token_and_samples_at_temperature_one(base: Path) -> None:
    config = GenerationConfig.from_pretrained(base)
    tokenizer = make_tokenizer()
    assert config.eos_token_id == tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert config.pad_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert (config.do_sample, config.temperature) == (True, 1.0)


def test_sizes_are_ones_that_vllm_runs(base: Path, model: Any) -> None:
    shape = shape_of(base)
    assert shape.head_dim in (32, 64)
    assert shape.hidden % 32 == 0
    assert shape.side == CELL
    assert shape.parameters == sum(one.numel() for one in model.parameters())
    assert model.lm_head.weight is model.get_input_embeddings().weight


def test_a_checkpoint_never_overwrites_another(base: Path) -> None:
    with pytest.raises(InputError, match="already holds something"):
        random_base(base, seed=0)


def test_a_lesson_begins_as_a_run_asks_about_the_same_video(
    base: Path, family: Family, processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Scene] = []

    def noted(seed: int, index: int, kind: Kind) -> Scene:
        drawn.append(make_scene(seed, index, kind))
        return drawn[-1]

    monkeypatch.setattr(lessons, "make_scene", noted)
    row = LessonMaker(family, processor, 0).batch(1)
    (prompt,) = asked_about(drawn, 0, base, frames_for(base, BUDGET.video))
    length = len(prompt.token_ids)
    np.testing.assert_array_equal(row.token_ids[0, :length], prompt.token_ids)
    places = family.positions(prompt.token_ids, prompt.shown)
    np.testing.assert_array_equal(row.positions[:, 0, :length], places)
    assert row.positions[:, 0, length].tolist() == [prompt.next_position] * 3
    pixels, _ = family.pixels([prompt], "cpu")
    assert (row.pixels[0] - pixels).abs().mean() < 0.05  # of an mp4


def test_a_branch_of_a_row_reads_like_the_same_text_alone(
    family: Family, model: Any, processor: Any
) -> None:
    row = LessonMaker(family, processor, 1).batch(1)
    branch = row.mask[0, 0, int((row.labels[0] != IGNORE).nonzero()[-1])]
    with torch.no_grad():
        hidden = read(model, row, see(model, row.pixels)).hidden
        alone = model(
            input_ids=row.token_ids[:, branch],
            position_ids=row.positions[:, :, branch],
            pixel_values_videos=row.pixels[0],
            video_grid_thw=torch.tensor([GRID]),
            use_cache=False,
        ).logits
        found = model.lm_head(hidden[-1][:, branch])
    torch.testing.assert_close(found, alone, atol=1e-4, rtol=1e-4)


def test_a_gaze_is_graded_by_what_the_layer_attends_to(
    family: Family, model: Any, processor: Any
) -> None:
    row = LessonMaker(family, processor, 1).batch(1)
    eager = deepcopy(model)
    eager.set_attn_implementation("eager")
    target = (row.token_ids == processor.video_token_id)[:, None].expand(-1, row.mask.shape[-1], -1)
    with torch.no_grad():
        reading = read(eager, row, see(eager, row.pixels))
        layer = eager.model.language_model.layers[1]
        barred = torch.zeros(row.mask.shape).masked_fill(~row.mask, -torch.inf)
        normed = layer.input_layernorm(reading.hidden[1])
        weights = layer.self_attn(
            hidden_states=normed, attention_mask=barred, position_embeddings=reading.rotation
        )[1]
        expected = (weights[:, 2] * target).sum(-1)
        loss = gaze_loss(eager, reading, row.mask, Gaze(1, 2, target))
    torch.testing.assert_close(loss, -expected[expected > 0].log().mean(), atol=1e-5, rtol=1e-5)


def test_every_loss_of_the_warm_start_reaches_the_model(
    family: Family, model: Any, processor: Any
) -> None:
    sizes = model.config.text_config
    probes = Probes(processor.tokenizer, sizes.hidden_size, sizes.vocab_size)
    parts = losses(model, probes, LessonMaker(family, processor, 2).batch(1))
    embedding = model.get_input_embeddings().weight
    vision = model.model.visual.patch_embed.proj.weight
    for name, loss in parts.items():
        assert torch.isfinite(loss), name
        found = torch.autograd.grad(loss, [embedding, vision], retain_graph=True, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in found), name


def test_the_warm_start_reports_its_last_losses_and_its_progress(
    model: Any, processor: Any
) -> None:
    seen: list[int] = []
    settings = WarmStart(looking_steps=2, steps=3, rows=1)
    final = warm_start(
        deepcopy(model), processor, 0, settings, lambda done, total, note: seen.append(done)
    )
    assert {"text", "words", "slots", "gaze_look"} <= final.keys()
    assert seen == [5]


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_built_base_says_what_it_was_trained_to_see_and_what_it_then_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "measure", partial(measure, scenes=6))
    told: list[int] = []
    figures = build_base(
        tmp_path / "base",
        seed=0,
        family=kind,
        settings=WarmStart(looking_steps=1, steps=2, rows=2),
        progress=lambda done, *_: told.append(done),
    )
    assert kind_of(tmp_path / "base").model_type == kind
    assert read_budget(tmp_path / "base") == BUDGET
    assert figures["loss_text"] > 0
    assert 0 <= figures["free_format"] <= 1
    assert told == [3]
