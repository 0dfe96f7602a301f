"""What is wrong with models is said by the files beside their weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders import shipped_config

from videothinker.config.lora import LoraConfig
from videothinker.model.checkpoint import model_digest
from videothinker.model.families.known import shape_of
from videothinker.model.fitness import one_time, unfit_adapter, unfit_anchor, unfit_base


@pytest.fixture
def base(mini_base: Path, tmp_path: Path) -> Path:
    return shutil.copytree(mini_base, tmp_path / "base")


def changed(folder: Path, name: str, **values: object) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_a_whole_model_is_fit(base: Path) -> None:
    assert unfit_base(base, ["soft_accuracy", "format"]) is None
    assert unfit_anchor(base, base) is None


def test_a_model_of_another_family_is_told_which_there_are(base: Path) -> None:
    changed(base, "config.json", model_type="gemma4")
    wrong = unfit_base(base, [])
    assert wrong is not None
    assert "model_type is 'gemma4'" in wrong
    assert "qwen3_vl" in wrong


@pytest.mark.parametrize(
    ("file", "what"), [("processor_config.json", "processor"), ("tokenizer.json", "tokenizer")]
)
def test_what_is_missing_beside_the_weights_is_named(base: Path, file: str, what: str) -> None:
    (base / file).unlink()
    wrong = unfit_base(base, [])
    assert wrong is not None
    assert f"has no {what} ({file}" in wrong


def test_a_thinking_model_cannot_earn_a_format_that_it_does_not_begin(base: Path) -> None:
    template = base / "chat_template.jinja"
    begun = "{%- if add_generation_prompt -%}<|im_start|>assistant<think>{%- endif -%}"
    template.write_text("{%- if x == '<think>' -%}{%- endif -%}" + begun)
    for reward in ("format", "strict_format"):
        wrong = unfit_base(base, ["soft_accuracy", reward])
        assert wrong is not None
        assert f"can earn the reward {reward}," in wrong
    assert unfit_base(base, ["soft_accuracy"]) is None
    for wording in ("direct", "both"):
        wrong = unfit_base(base, ["soft_accuracy"], wording)  # type: ignore[arg-type]
        assert wrong is not None
        assert f"it cannot be asked for an answer alone (prompts.wording = {wording!r})" in wrong
    template.write_text("{%- if x == '<think>' -%}{%- endif -%}" + begun.replace("<think>", ""))
    assert unfit_base(base, ["format"]) is None


def adapter_of(base: Path, folder: Path, digest: str = "") -> Path:
    """Only what says so."""
    folder.mkdir()
    named = {"base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(named))
    source = {"path": str(base), "digest": digest or model_digest(base)}
    (folder / "lineage.json").write_text(json.dumps({"base": source}))
    return folder


def test_a_model_that_begins_nothing_may_be_asked_in_every_wording(base: Path) -> None:
    assert unfit_base(base, ["format"], "direct") is None
    assert unfit_base(base, ["format"], "both") is None


def test_training_does_not_start_from_an_adapter(base: Path, tmp_path: Path) -> None:
    wrong = unfit_base(adapter_of(base, tmp_path / "adapter"), [])
    assert wrong is not None
    assert f"videothinker merge {tmp_path / 'adapter'} --out DIR" in wrong


def test_where_the_learner_scores_an_anchor_is_an_adapter_of_its_base(
    base: Path, tmp_path: Path
) -> None:
    own = adapter_of(base, tmp_path / "own")
    other = adapter_of(base, tmp_path / "other", digest="0" * 64)
    assert unfit_anchor(base, own, alone=False) is None
    assert unfit_anchor(base, base, alone=False) is None
    assert "is another model" in str(unfit_anchor(base, other, alone=False))
    whole = shutil.copytree(base, tmp_path / "whole")
    assert "Use 1 or more scorers" in str(unfit_anchor(base, whole, alone=False))
    assert unfit_anchor(base, whole) is None


def test_an_adapter_is_no_wider_than_what_it_is_beside(base: Path) -> None:
    narrow = min(map(min, shape_of(base).linears.values()))
    assert unfit_adapter(base, LoraConfig(rank=narrow)) is None
    wrong = unfit_adapter(base, LoraConfig(rank=narrow + 1))
    assert wrong is not None
    assert wrong.startswith(f"learner.lora.rank = {narrow + 1}: q_proj of {base} is {narrow} wide")
    assert "Use 96 or less" in wrong


def test_a_template_may_stand_in_another_file(base: Path) -> None:
    (base / "chat_template.jinja").unlink()
    changed(base, "tokenizer_config.json", chat_template="{% if add_generation_prompt %}<think>")
    assert unfit_base(base, ["format"]) is not None


def test_a_damaged_file_is_left_to_those_who_read_it(base: Path) -> None:
    (base / "chat_template.jinja").unlink()
    for name in ("processor_config.json", "tokenizer_config.json", "tokenizer.json"):
        (base / name).write_text("{")
    assert unfit_base(base, ["format"]) is None
    assert unfit_anchor(base, base) is None


def test_an_anchor_of_another_family_has_no_opinion(base: Path, tmp_path: Path) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    changed(other, "config.json", model_type="qwen3_vl")
    wrong = unfit_anchor(base, other)
    assert wrong is not None
    assert "is a Qwen3-VL, and the policy a Qwen2.5-VL" in wrong


def test_an_anchor_with_other_words_has_none_either(base: Path, tmp_path: Path) -> None:
    other = shutil.copytree(base, tmp_path / "other")
    file = other / "tokenizer.json"
    content = json.loads(file.read_text())
    first, second = list(content["model"]["vocab"])[:2]
    vocab = content["model"]["vocab"]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    file.write_text(json.dumps(content))
    wrong = unfit_anchor(base, other)
    assert wrong is not None
    assert "its tokenizer is not the policy's" in wrong


def test_a_video_of_one_time_has_no_other_order(base: Path) -> None:
    view = "stages.1.kl={direction: repel, anchor: bias, anchor_view: %s}"
    for frames, views in ((3, ["frame", "shuffled"]), (4, [])):
        few = (f"video.max_frames={frames}", "video.min_frames=1")
        found = {
            name: list(one_time(shipped_config(view % name, *few), shape_of(base)))
            for name in ("video", "blind", "frame", "shuffled", "masked")
        }
        assert [name for name, lines in found.items() if lines] == views
    [line] = one_time(
        shipped_config(view % "frame", "video.max_frames=3", "video.min_frames=1"), shape_of(base)
    )
    assert "stages.1.kl.anchor_view = 'frame': of video.max_frames = 3 the model makes one" in line
    assert "Set video.max_frames to 4 or more" in line
