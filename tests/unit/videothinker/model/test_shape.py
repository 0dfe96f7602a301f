import json
from pathlib import Path

import pytest
from safetensors import safe_open

from videothinker.errors import InputError
from videothinker.model.shape import KNOWN, ModelShape, shape_of

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
    assert SMALL.trained(()) == SMALL.parameters
    assert SMALL.trained(("vision", "merger")) == SMALL.language + SMALL.embeddings


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


@pytest.mark.parametrize("content", ["{", "[]", '{"vision_config": {}}', '{"hidden_size": "x"}'])
def test_what_is_no_such_model_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"not the configuration of a Qwen2\.5-VL"):
        shape_of(tmp_path)


def test_an_unknown_absent_model_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.path=DIR"):
        shape_of(tmp_path / "nothing")


def test_parameters_grow_with_every_size() -> None:
    for name in ("hidden", "layers", "intermediate", "vocabulary", "vision_layers"):
        larger = {field: getattr(SMALL, field) for field in ModelShape.__dataclass_fields__}
        larger[name] *= 2
        assert ModelShape(**larger).parameters > SMALL.parameters, name
