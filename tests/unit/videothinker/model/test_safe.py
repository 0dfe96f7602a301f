"""Nothing in a model's folder is run, whatever it is called."""

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_data import Bomb

from videothinker.errors import InputError
from videothinker.model.checkpoint import require_safe
from videothinker.model.policy import load_model
from videothinker.model.processing import PromptBuilder

Load = Callable[[Path], Any]


def builder(model: Path) -> PromptBuilder:
    return PromptBuilder(model, model, clips=None)  # type: ignore[arg-type]


def policy(model: Path) -> Any:
    return load_model(model, "float32")


LOADERS = pytest.mark.parametrize("load", [require_safe, policy, builder])


@pytest.fixture
def model(mini_base: Path, tmp_path: Path) -> Path:
    """A checkpoint to spoil."""
    folder = tmp_path / "model"
    shutil.copytree(mini_base, folder)
    return folder


@LOADERS
@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pickle_under_any_name_is_refused_and_runs_nothing(
    model: Path, tmp_path: Path, load: Load, write: Callable[..., None], name: str
) -> None:
    marker = tmp_path / "marker"
    (model / "model.safetensors").unlink()
    with (model / name).open("wb") as file:
        write(Bomb(marker), file)
    with pytest.raises(InputError, match=name) as refused:
        load(model)
    assert len(str(refused.value).splitlines()) == 1
    assert not marker.exists()


def test_the_bomb_of_these_tests_goes_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


@LOADERS
@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "preprocessor_config.json"]
)
def test_code_that_comes_with_a_model_is_refused_and_not_run(
    model: Path, tmp_path: Path, load: Load, file: str
) -> None:
    marker = tmp_path / "marker"
    (model / "own.py").write_text(f"import os; os.mkdir({str(marker)!r})\nclass Own: pass\n")
    whole = json.loads((model / file).read_text()) if (model / file).is_file() else {}
    classes = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoTokenizer": ["own.Own", None]}
    (model / file).write_text(json.dumps(whole | {"auto_map": classes}))
    with pytest.raises(InputError, match="auto_map"):
        load(model)
    assert not marker.exists()


def test_the_list_of_shards_names_the_folders_own_files_only(model: Path) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../other/model.safetensors"}}))
    with pytest.raises(InputError, match=r"\.\./other/model\.safetensors"):
        require_safe(model)


@pytest.mark.parametrize("content", ["{", "[" * 100_000], ids=["cut", "nested"])
def test_a_file_that_is_no_json_is_named(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json: not JSON"):
        require_safe(model)


def test_a_pipe_in_a_models_folder_is_not_waited_for(model: Path) -> None:
    (model / "model.safetensors").unlink()
    os.mkfifo(model / "model.safetensors")
    os.mkfifo(model / "extra.json")
    with pytest.raises(InputError, match="is no file"):
        require_safe(model)


@LOADERS
def test_a_machine_without_the_drivers_model_of_the_hub_is_told_how_to_get_it(
    tmp_path: Path, load: Load
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--me--tiny" / "snapshots" / commit
    with pytest.raises(InputError) as refused:
        load(folder)
    said = str(refused.value)
    assert f"not on {socket.gethostname()}. Set HF_HOME" in said
    assert f"hf download me/tiny --revision {commit}" in said


def test_a_healthy_model_is_loaded(model: Path) -> None:
    require_safe(model)
    assert np.isfinite(sum(float(one.detach().sum()) for one in policy(model).parameters()))
