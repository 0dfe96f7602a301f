"""What an engine, a scorer and a loader do with a model that is a program: refuse it."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_data import Bomb

from actors.anchor import AnchorScorer
from actors.loader import PromptLoader
from actors.vllm_engine import VllmEngine
from videothinker.config.settings import DataConfig, RolloutConfig, VideoConfig
from videothinker.errors import InputError


def engine(model: Path) -> object:
    return VllmEngine(model, "float32", RolloutConfig(), "cpu")


def scorer(model: Path) -> object:
    return AnchorScorer("float32", 1.0, "cpu").load(model)


def loader(model: Path) -> object:
    return PromptLoader(model, DataConfig(videos=model, cache=model / "c"), VideoConfig(), 100)


@pytest.mark.parametrize("start", [engine, scorer, loader])
def test_a_pickle_named_safetensors_is_refused_and_not_run(
    mini_base: Path, tmp_path: Path, start: Callable[[Path], object]
) -> None:
    model, marker = tmp_path / "model", tmp_path / "marker"
    shutil.copytree(mini_base, model)
    (model / "model.safetensors").write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(InputError, match="holds no safetensors"):
        start(model)
    assert not marker.exists()
