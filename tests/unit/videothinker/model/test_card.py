from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from videothinker import __version__
from videothinker.config.kl import KLConfig
from videothinker.config.settings import VideoConfig
from videothinker.model.card import ModelLineage, describe, license_in, model_card


def lineage(**changes: Any) -> ModelLineage:
    """A second stage, repelled from the first."""
    content: dict[str, Any] = {
        "run": "cdpo",
        "stage": "debias",
        "steps": 500,
        "seed": 42,
        "base": {"path": "/models/qwen", "digest": "ba5e"},
        "data": [{"path": "questions.parquet", "digest": "da7a"}],
        "kl": KLConfig(direction="repel").model_dump(),
        "anchor": {"path": "/runs/bias/model", "digest": "a9c4"},
        "rewards": ["soft_accuracy", "format"],
        "group_size": 8,
        "prompts_per_step": 2,
        "learning_rate": 1e-6,
        "temperature": 1.0,
        "video": VideoConfig().model_dump(),
    }
    return ModelLineage(**content | changes)  # type: ignore[typeddict-item]


def header(card: str) -> dict[str, Any]:
    """A card's YAML."""
    return yaml.safe_load(card.split("---\n")[1])


def test_lineage_is_kept_whole_with_the_version_that_wrote_it(tmp_path: Path) -> None:
    describe(tmp_path, lineage(), {})
    kept = json.loads((tmp_path / "lineage.json").read_text())
    assert kept == {**lineage(), "videothinker": __version__}


def test_a_card_names_base_data_and_anchor_by_content() -> None:
    card = model_card(lineage(), {})
    for digest in ("ba5e", "da7a", "a9c4"):
        assert f"(sha256 `{digest}`)" in card


def test_a_card_says_in_which_direction_the_anchor_acted() -> None:
    attract = KLConfig(direction="attract").model_dump()
    assert "repelled from `/runs/bias/model`" in model_card(lineage(), {})
    assert "attracted to `/runs/bias/model`" in model_card(lineage(kl=attract), {})


def test_a_card_says_what_the_anchor_saw_and_whose_policy_it_was() -> None:
    usual = {"direction": "repel", "anchor_view": "masked"}
    seen = model_card(lineage(kl=KLConfig(**usual).model_dump()), {})
    assert "repelled from `/runs/bias/model` (sha256 `a9c4`), which saw the videos masked," in seen
    own = KLConfig(**usual, anchor="policy", anchor_every=5).model_dump()
    assert "repelled from its own policy of every 5 steps, at first `/runs" in model_card(
        lineage(kl=own), {}
    )
    older = {key: KLConfig().model_dump()[key] for key in ("direction", "coefficient", "estimator")}
    kl = older | {"direction": "repel", "bound": 11.0}
    assert "repelled from `/runs/bias/model` (sha256 `a9c4`) with" in model_card(lineage(kl=kl), {})


def test_a_card_says_when_the_anchor_acted() -> None:
    early = KLConfig(direction="repel", schedule="early", schedule_steps=90).model_dump()
    card = model_card(lineage(kl=early), {})
    assert "coefficient 0.01 (in the first 90 steps, then none), estimator k3" in card
    older = {key: value for key, value in early.items() if "schedule" not in key}
    assert "coefficient 0.01, estimator k3" in model_card(lineage(kl=older), {})


@pytest.mark.parametrize(
    ("wording", "said", "unchecked"),
    [
        ({}, "thinking first: `<think>...</think>`, then\n`<answer>...</answer>` with", True),
        ({"wording": "direct"}, "without thinking first: `<answer>...</answer>` with the", False),
        ({"wording": "both"}, "as it is asked: thinking first, `<think>...</think>`,", True),
    ],
)
def test_a_card_says_what_the_model_is_asked_in(
    wording: dict[str, str], said: str, unchecked: bool
) -> None:
    card = model_card(lineage(**wording), {})
    assert said in card
    assert ("the thinking is not checked" in card) is unchecked
    assert ("--wording direct" in card) is bool(wording)


def test_a_card_of_plain_grpo_has_no_anchor() -> None:
    card = model_card(lineage(kl=KLConfig().model_dump(), anchor=None), {})
    assert "without a divergence term: 500 steps of 2 questions" in card


def test_a_card_says_that_groups_of_equal_rewards_were_replaced() -> None:
    assert "500 steps of 2 questions, 8 completions" in model_card(lineage(), {})
    card = model_card(lineage(refill=6), {})
    assert "500 steps of 2 questions (up to 6 more in place of those whose completions" in card


def test_an_unknown_license_and_base_are_left_to_the_user() -> None:
    card = model_card(lineage(), {})
    assert {"license", "base_model"}.isdisjoint(header(card))
    assert "# license: " in card
    assert "# base_model: " in card


def test_the_license_of_the_base_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\nx: 1\n---\n# Base\n---\n")
    assert license_in(tmp_path) == {"license": "apache-2.0"}
    assert header(model_card(lineage(), license_in(tmp_path)))["license"] == "apache-2.0"


def test_a_card_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    assert license_in(tmp_path) == {}
    for text in ("# no header", "---\n[\n---\n", "---\njust words\n---\n"):
        (tmp_path / "README.md").write_text(text)
        assert license_in(tmp_path) == {}


def test_a_card_of_a_described_model_is_read_back_without_a_license(tmp_path: Path) -> None:
    describe(tmp_path, lineage(), {})
    assert license_in(tmp_path) == {}


def test_a_card_names_a_base_and_an_anchor_of_the_hub_by_name_and_commit() -> None:
    base = {"path": "/cache/snapshots/c0ffee", "digest": "ba5e", "hub": "Qwen/Tiny@c0ffee"}
    anchor = {"path": "/cache/snapshots/0ff", "digest": "a9c4", "hub": "me/bias@0ff"}
    card = model_card(lineage(base=base, anchor=anchor), {})
    assert header(card)["base_model"] == "Qwen/Tiny"
    assert "Started from `Qwen/Tiny@c0ffee` (sha256 `ba5e`)" in card
    assert "repelled from `me/bias@0ff` (sha256 `a9c4`)" in card
    assert "/cache" not in card


def test_a_base_that_is_a_folder_is_left_for_the_user_to_name() -> None:
    assert "base_model" not in header(model_card(lineage(), {}))
