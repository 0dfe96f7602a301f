"""How a run asks: what a configuration may say of it, and what does not go together with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from smallest_config import SMALLEST

from videothinker.config.loading import load_config, to_yaml
from videothinker.errors import ConfigError

REPEL = "stages.0.kl={direction: repel, anchor: base, applies_to: %s}"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALLEST)
    return file


def test_a_run_asks_to_think_unless_told_otherwise(small: Path) -> None:
    assert load_config(small).prompts.each == ("training",)
    assert load_config(small, ["prompts.wording=direct"]).prompts.each == ("direct",)
    assert load_config(small, ["prompts.wording=both"]).prompts.each == ("training", "direct")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prompts.wording=aloud"], "prompts.wording = 'aloud'"),
        (
            ["prompts.wording=both", "stages.0.replay=2"],
            "stages.0.replay = 2 with prompts.wording = 'both': completions are kept by question",
        ),
        (
            ["prompts.wording=direct", REPEL % "thinking"],
            "stages.0.kl.applies_to = 'thinking' with prompts.wording = 'direct': nothing is thoug",
        ),
    ],
)
def test_what_does_not_go_with_a_wording_is_refused(
    small: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(small, overrides)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "overrides",
    [
        ["prompts.wording=direct", "stages.0.replay=2"],
        ["prompts.wording=direct", REPEL % "answer"],
        ["prompts.wording=both", REPEL % "thinking"],
        ["prompts.wording=direct", "rewards=[strict_accuracy, strict_format]"],
    ],
)
def test_what_goes_with_it_is_read_back_as_it_was_written(
    small: Path, overrides: list[str]
) -> None:
    config = load_config(small, overrides)
    small.with_name("resolved.yaml").write_text(to_yaml(config))
    assert load_config(small.with_name("resolved.yaml")) == config
