"""Anchors that see less, or are the policy of some steps ago: what is taken, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from builders import CONFIGS

from videothinker.config.kl import KLConfig
from videothinker.config.loading import load_config, to_yaml
from videothinker.errors import ConfigError

GRPO = CONFIGS / "grpo.yaml"
DISCOUNT = "stages.0.kl={direction: discount, coefficient: 0.5, anchor: base%s}"
TWO_UPDATES = ["learner.updates_per_step=2", "stages.0.prompts_per_step=4"]
POLICY = "stages.0.kl={direction: repel, anchor: policy, anchor_view: masked%s}"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ["stages.0.kl.anchor_view=blind"],
            "with direction none, anchor_view = 'blind' would have no effect",
        ),
        ([DISCOUNT % ""], "have it see less (stages.0.kl.anchor_view)"),
        (["stages.0.kl={direction: repel, anchor: base, anchor_view: deaf}"], "anchor_view"),
        (
            ["stages.0.kl={direction: repel, anchor: base, anchor_every: 5}"],
            "anchor_every = 5 has no effect with stages.0.kl.anchor = 'base', which stays",
        ),
        (
            ["stages.0.steps=20", POLICY % ", anchor_every: 20"],
            "in 20 steps it never becomes another than this stage's initial model",
        ),
        (
            ["stages.0.kl={direction: repel, anchor: policy}"],
            "its divergence from itself has no slope",
        ),
        (
            ["stages.0.kl={direction: attract, anchor: policy, estimator: policy}"],
            "its divergence from itself has no slope",
        ),
        ([POLICY % ", estimator: exact"], "the learner reads the anchor's output head once"),
        ([POLICY % "", "rollout.max_staleness=1"], "groups are scored before the policy that is"),
        (
            [POLICY % "", "learner.lora={}", "cluster.scorers=0", "learner.zero_stage=2"],
            "the learner has its adapter as it is, not as it was",
        ),
        (
            ["stages.0.name=policy"],
            "stages.0.name = 'policy': that is the one that is trained",
        ),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(GRPO, settings)
    [line] = str(caught.value).splitlines()[1:]
    assert said in line


@pytest.mark.parametrize(
    "settings",
    [
        [DISCOUNT % ", anchor_view: blind"],
        [POLICY % ""],
        [POLICY % ", anchor_every: 5, estimator: k2"],
        ["stages.0.kl={direction: repel, anchor: policy, anchor_every: 2}"],
        ["stages.0.kl={direction: repel, anchor: policy, estimator: k1}"],
        ["stages.0.kl={direction: repel, anchor: policy}", *TWO_UPDATES],
        ["stages.0.kl={direction: discount, coefficient: 0.5, anchor: policy}"],
        [POLICY % "", "stages.0.steps=1"],
        ["stages.0.kl={direction: repel, anchor: base, anchor_view: frame, estimator: exact}"],
    ],
    ids=str,
)
def test_what_has_an_effect_is_taken_and_read_back(settings: list[str], tmp_path: Path) -> None:
    config = load_config(GRPO, settings)
    file = tmp_path / "resolved.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("every", "after"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 0, 0, 3, 3, 3, 6]), (7, [0] * 7)]
)
def test_an_anchor_stays_for_so_many_steps(every: int, after: list[int]) -> None:
    kl = KLConfig(direction="repel", anchor="policy", anchor_every=every)
    assert [kl.anchored_after(done) for done in range(7)] == after
    assert kl.moves
    assert not KLConfig(anchor="policy").moves


def test_papo_takes_entropy_off() -> None:
    config = load_config(GRPO, [str(CONFIGS / "methods" / "papo.yaml")])
    assert config.learner.entropy_bonus == -0.03
    kl = yaml.safe_load(to_yaml(config))["stages"][-1]["kl"]
    assert (kl["anchor"], kl["anchor_view"], kl["anchor_every"]) == ("policy", "masked", 1)


def test_no_number_is_no_bonus() -> None:
    with pytest.raises(ConfigError, match="entropy_bonus"):
        load_config(GRPO, ["learner.entropy_bonus=.nan"])
