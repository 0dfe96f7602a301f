import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open

from videothinker.config.learner import LearnerConfig
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.model.families.known import KNOWN, shape_of
from videothinker.model.shape import ModelShape

SMALL = KNOWN["Qwen2.5-VL-3B-Instruct"]
LARGE = KNOWN["Qwen2.5-VL-7B-Instruct"]


def test_the_3b_models_parts_are_those_of_its_checkpoint() -> None:
    assert SMALL.layer == 77_076_992
    assert SMALL.language == 2_774_771_712 + 2_048
    assert SMALL.embeddings == 311_164_928
    assert SMALL.vision == 630_470_400 + 1_505_280
    assert SMALL.merger == 36_708_608
    assert SMALL.parameters == 3_754_622_976


def test_the_7b_models_head_is_its_own() -> None:
    assert LARGE.embeddings == 2 * 152_064 * 3_584
    assert LARGE.parameters == 8_292_166_656


def test_a_token_of_the_3b_model_takes_36864_bytes_of_cache() -> None:
    assert SMALL.cache_bytes("bfloat16") == 36_864
    assert SMALL.cache_bytes("float32") == 2 * 36_864


def test_frozen_parts_have_no_gradient() -> None:
    assert SMALL.trained(LearnerConfig()) == SMALL.parameters
    seeing = LearnerConfig(freeze=("vision", "merger"))
    assert SMALL.trained(seeing) == SMALL.language + SMALL.embeddings


def test_of_an_adapter_two_narrow_matrices_are_trained_beside_each_that_has_one() -> None:
    queries = LoraConfig(rank=8, targets=("q_proj",))
    assert SMALL.trained(LearnerConfig(lora=queries)) == 36 * 8 * (2048 + 2048)
    sides = 2 * (2048 + 2048) + 2 * (2048 + 256) + 3 * (2048 + 11_008)
    assert SMALL.trained(LearnerConfig(lora=LoraConfig())) == 36 * 16 * sides
    seeing = SMALL.trained(LearnerConfig(lora=LoraConfig(vision=True))) - 36 * 16 * sides
    block = (1280 + 3840) + 2 * 1280 + 3 * (1280 + 3420)
    assert seeing == 16 * (32 * block + (5120 + 5120) + (5120 + 2048))


def test_the_formula_counts_what_a_real_checkpoint_holds(mini_base: Path) -> None:
    with safe_open(mini_base / "model.safetensors", "np") as tensors:
        sizes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    counted = 0
    for shape in sizes.values():
        size = 1
        for side in shape:
            size *= side
        counted += size
    assert shape_of(mini_base).parameters == counted


def test_an_older_config_keeps_the_language_model_at_the_top(
    mini_base: Path, tmp_path: Path
) -> None:
    document = json.loads((mini_base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(document.pop("text_config") | document))
    assert shape_of(tmp_path) == shape_of(mini_base)


def test_a_known_model_needs_no_folder(tmp_path: Path) -> None:
    assert shape_of(tmp_path / "Qwen2.5-VL-3B-Instruct") == SMALL
    assert shape_of(Path("Qwen/Qwen2.5-VL-3B-Instruct@refs/pr/3")) == SMALL


def test_a_folder_is_believed_over_its_name(mini_base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Qwen2.5-VL-3B-Instruct"
    folder.symlink_to(mini_base)
    assert shape_of(folder).parameters < 1_000_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not the configuration of a model"),
        ("[]", r"model_type is None, and the families known are qwen2_5_vl, qwen3_vl, qwen2_vl,"),
        ('{"model_type": "llama"}', "model_type is 'llama'"),
        ('{"model_type": "qwen2_5_vl"}', r"not the configuration of a Qwen2\.5-VL"),
        ('{"model_type": "qwen3_vl", "vision_config": {}}', "not the configuration of a Qwen3-VL"),
    ],
)
def test_what_is_no_model_of_a_known_family_is_refused(
    content: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=reason):
        shape_of(tmp_path)


def test_an_unknown_absent_model_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.path=DIR"):
        shape_of(tmp_path / "nothing")


@pytest.mark.parametrize("shape", [SMALL, KNOWN["Qwen3-VL-2B-Instruct"]])
def test_parameters_grow_with_every_size(shape: ModelShape) -> None:
    for name in ("hidden", "layers", "intermediate", "vocabulary", "vision_layers"):
        larger = replace(shape, **{name: 2 * getattr(shape, name)})
        assert larger.parameters > shape.parameters, name


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen2.5-VL-32B-Instruct", 33_452_718_336),
        ("Qwen2.5-VL-72B-Instruct", 73_410_777_344),
        ("Qwen2-VL-2B-Instruct", 2_208_985_600),
        ("Qwen2-VL-7B-Instruct", 8_291_375_616),
        ("Qwen3-VL-2B-Instruct", 2_127_532_032),
        ("Qwen3-VL-4B-Thinking", 4_437_815_808),
        ("Qwen3-VL-8B-Instruct", 8_767_123_696),
        ("Qwen3-VL-32B-Thinking", 33_357_390_064),
    ],
)
def test_every_released_size_has_the_parameters_of_its_checkpoint(
    name: str, parameters: int
) -> None:
    assert KNOWN[name].parameters == parameters


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({}, 16 * 128 // 2),
        ({"max_frames": 768, "total_pixels": 24576 * 28 * 28, "min_pixels": 48 * 28 * 28}, 24576),
        # so little for each that qwen-vl-utils gives it 1.05 times the least
        ({"max_frames": 100, "total_pixels": 28 * 28}, 100 * int(16 * 1.05 * 784) // (2 * 784)),
        ({"max_frames": 4, "total_pixels": 28 * 28 * 100000}, 4 * 128 // 2),
    ],
)
def test_the_most_tokens_of_a_video_are_as_its_pixels_are_shared_out(
    changes: dict[str, int], tokens: int
) -> None:
    assert KNOWN["Qwen2.5-VL-3B-Instruct"].tokens(VideoConfig(**changes)) == tokens
