from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from videothinker.config.kl import KLConfig
from videothinker.config.settings import VideoConfig
from videothinker.model.card import ModelLineage
from videothinker.model.checkpoint import (
    PAPER_EVALUATION,
    generation_settings,
    model_digest,
    read_budget,
    save_model,
    with_cache,
    write_budget,
)
from videothinker.model.policy import Policy, load_model

QWEN = {
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.05,
    "temperature": 0.000001,
    "transformers_version": "4.49.0",
}


LINEAGE: ModelLineage = {
    "run": "cdpo",
    "stage": "bias",
    "steps": 500,
    "seed": 42,
    "base": {"path": "/models/qwen", "digest": "ba5e"},
    "data": [{"path": "bias.parquet", "digest": "da7a"}],
    "kl": KLConfig().model_dump(),
    "anchor": None,
    "rewards": ["format"],
    "group_size": 8,
    "prompts_per_step": 2,
    "learning_rate": 1e-6,
    "temperature": 0.8,
    "video": VideoConfig().model_dump(),
}


@pytest.fixture(scope="module")
def exported(mini_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy in training, exported; its base has Qwen's generation settings and a card."""
    base = tmp_path_factory.mktemp("like")
    for file in mini_base.iterdir():
        (base / file.name).symlink_to(file)
    (base / "generation_config.json").unlink()
    (base / "generation_config.json").write_text(json.dumps(QWEN))
    (base / "README.md").write_text("---\nlicense: mit\n---\nthe base's own card")
    model = Policy(load_model(mini_base, "float32")).model
    model.gradient_checkpointing_enable()
    model.config.text_config.use_cache = False
    folder = tmp_path_factory.mktemp("export") / "model"
    save_model(model, folder, base, PAPER_EVALUATION, 0.8, LINEAGE)
    return folder


def test_transformers_samples_an_export_as_it_was_trained(exported: Path) -> None:
    from transformers import GenerationConfig

    settings = GenerationConfig.from_pretrained(exported)
    assert settings.do_sample
    assert settings.temperature == 0.8
    assert settings.top_p == 1
    assert settings.top_k == 0
    assert settings.repetition_penalty == 1
    assert settings.eos_token_id == [151645, 151643]
    assert settings.pad_token_id == 151643


def test_a_caller_who_asks_for_temperature_1_gets_it() -> None:
    # what equals a class default is replaced by the folder's own value
    settings = generation_settings(QWEN, 1.0)
    assert settings["temperature"] == 1
    assert settings["repetition_penalty"] == 1


def test_generation_settings_say_which_transformers_wrote_them() -> None:
    import transformers

    assert generation_settings(QWEN, 1.0)["transformers_version"] == transformers.__version__


def test_a_model_without_a_padding_token_is_given_none() -> None:
    assert "pad_token_id" not in generation_settings({"eos_token_id": 7}, 1.0)


def test_an_export_uses_the_cache_that_training_turned_off(exported: Path) -> None:
    from transformers import AutoConfig, GenerationConfig

    assert AutoConfig.from_pretrained(exported).text_config.use_cache
    assert GenerationConfig.from_pretrained(exported).use_cache


def test_turning_the_cache_on_leaves_the_rest_of_a_configuration() -> None:
    config = {"use_cache": False, "a": 1, "text_config": {"use_cache": False, "b": 2}}
    assert with_cache(config) == {
        "use_cache": True,
        "a": 1,
        "text_config": {"use_cache": True, "b": 2},
    }


def test_the_learners_attention_stays_out_of_an_export(exported: Path) -> None:
    assert "shared_prefix" not in (exported / "config.json").read_text()


def test_an_export_holds_the_weights_and_loads_in_transformers(
    exported: Path, mini_base: Path
) -> None:
    saved, base = load_model(exported, "float32"), load_model(mini_base, "float32")
    for name, parameter in base.named_parameters():
        assert torch.equal(saved.get_parameter(name), parameter), name


def test_an_export_carries_its_budget_and_not_the_card_of_its_base(exported: Path) -> None:
    assert read_budget(exported) == PAPER_EVALUATION
    card = (exported / "README.md").read_text()
    assert card.startswith("---\n")
    assert 'license: "mit"' in card
    assert "the base's own card" not in card


def test_a_budget_says_what_its_model_is_asked_in_and_one_without_says_to_think(
    tmp_path: Path,
) -> None:
    write_budget(tmp_path, PAPER_EVALUATION.model_copy(update={"wording": "direct"}))
    assert read_budget(tmp_path).wording == "direct"
    file = tmp_path / "videothinker.json"
    older = {k: v for k, v in json.loads(file.read_text()).items() if k != "wording"}
    file.write_text(json.dumps(older))
    assert read_budget(tmp_path) == PAPER_EVALUATION
    assert PAPER_EVALUATION.wording == "training"


def test_an_export_carries_its_lineage(exported: Path) -> None:
    kept = json.loads((exported / "lineage.json").read_text())
    assert kept.items() >= LINEAGE.items()


def test_without_a_lineage_no_card_is_taken_over(exported: Path, tmp_path: Path) -> None:
    save_model(load_model(exported, "float32"), tmp_path / "model", exported, PAPER_EVALUATION)
    assert not (tmp_path / "model" / "README.md").exists()
    assert not (tmp_path / "model" / "lineage.json").exists()


def test_the_digest_is_of_the_weights_and_not_of_the_folder(
    exported: Path, mini_base: Path
) -> None:
    assert model_digest(exported) == model_digest(mini_base)
