"""configs/methods/: what a published method changes of a configuration, laid over any."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import CONFIGS

from videothinker.cli.main import main
from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.errors import ConfigError

METHODS = sorted((CONFIGS / "methods").glob("*.yaml"))
PAPER = CONFIGS / "paper.yaml"


def over_the_paper(method: str, *more: str) -> RunConfig:
    return load_config(PAPER, [str(CONFIGS / "methods" / f"{method}.yaml"), *more])


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_a_method_is_five_lines_with_its_source(method: Path) -> None:
    lines = method.read_text().splitlines()
    assert len(lines) <= 5
    comment = " ".join(line for line in lines if line.startswith("#"))
    assert "arXiv" in comment or "CVPR" in comment
    assert f"configs/methods/{method.name}" in comment


@pytest.mark.parametrize("method", METHODS, ids=lambda path: path.stem)
def test_a_method_is_laid_over_the_papers_configuration(
    method: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videothinker.cli.preflight.missing_files", lambda config: [])
    code = main(["train", str(PAPER), str(method), "--dry-run"])
    said = capsys.readouterr()
    assert code == 0, said.err
    bias, last = load_config(PAPER, [str(method)]).stages
    assert last.kl != bias.kl or method.stem not in ("grpo", "cdpo")
    assert last.questions.name == "questions.parquet"


def test_what_a_method_says_of_the_last_stage_replaces_what_was_there() -> None:
    config = over_the_paper("grpo")
    kl = config.stages[-1].kl
    assert (kl.direction, kl.anchor, kl.coefficient) == ("attract", "base", 0.04)
    assert config.stages[0].kl.direction == "none"
    assert over_the_paper("dapo").stages[-1].kl.direction == "none"


def test_what_it_says_of_every_stage_holds_in_each_and_the_rest_stays() -> None:
    config = over_the_paper("gspo")
    assert [stage.prompts_per_step for stage in config.stages] == [8, 8]
    assert (config.learner.ratio, config.learner.clip_high) == ("sequence", 4e-4)
    assert config.learner.learning_rate == 1e-6


def test_what_stands_later_wins() -> None:
    assert over_the_paper("dapo", "learner.aggregation=budget").learner.aggregation == "budget"


@pytest.mark.parametrize(
    ("laid", "said"),
    [
        ("stages: [{name: a}]", "laid over another file's as {every: ..., last: ...}"),
        ("stages: {first: {steps: 1}}", "laid over another file's as {every: ..., last: ...}"),
        ("learner: {clips: 1}", "learner.clips: unknown key"),
        ("- a", "it must be a YAML mapping"),
    ],
)
def test_a_file_that_cannot_be_laid_over_is_refused(laid: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "laid.yaml"
    file.write_text(laid)
    with pytest.raises(ConfigError, match="cannot be run") as caught:
        load_config(PAPER, [str(file)])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["learner.ratio=sequence"], "no effect with learner.updates_per_step = 1"),
        (["learner.clip=cispo"], "no effect with learner.updates_per_step = 1"),
        (["learner.clip_width=2"], "no effect with learner.clip = 'ppo'"),
        (
            ["learner.updates_per_step=2"],
            "in learner.updates_per_step = 2 parts. Use a multiple of 4",
        ),
    ],
)
def test_a_switch_without_effect_is_refused(settings: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(PAPER, settings)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["learner.updates_per_step=4"], "learner.updates_per_step = 4"),
        (["learner.aggregation=token"], "learner.aggregation = 'token'"),
        (["advantage.scale=batch"], "advantage.scale = 'batch'"),
        (["sampling.refill=8"], "sampling.refill = 8"),
        (["rollout.sleep=true"], "rollout.sleep = True"),
    ],
)
def test_what_a_group_alone_does_not_say_cannot_be_learned_ahead_of_the_others(
    settings: list[str], said: str
) -> None:
    load_config(PAPER, ["learner.overlap=true", "rollout.sleep=false"])
    with pytest.raises(ConfigError) as caught:
        load_config(PAPER, ["learner.overlap=true", "rollout.sleep=false", *settings])
    assert f"learner.overlap = True with {said}: " in str(caught.value)


def test_one_ratio_a_completion_needs_completions_that_count_as_one() -> None:
    with pytest.raises(ConfigError) as caught:
        over_the_paper("gspo", "learner.aggregation=token", "learner.clip=smooth")
    assert "a completion has one ratio, and counts as one" in str(caught.value)
    assert "looks at the probability of each token" in str(caught.value)


def test_errors_are_those_of_an_earlier_stage() -> None:
    assert over_the_paper("jtt").stages[-1].draw.share == 0.5
    with pytest.raises(ConfigError) as caught:
        load_config(PAPER, ["stages.0.draw={by: errors, of: cdpo}"])
    assert "no earlier stage of this run has that name" in str(caught.value)


@pytest.mark.parametrize(
    ("by", "key", "value", "other"),
    [("uniform", "share", 0.3, "errors"), ("errors", "column", "hard", "column")],
)
def test_what_another_way_to_draw_is_told_is_refused(
    by: str, key: str, value: object, other: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(PAPER, [f"stages.1.draw={{by: {by}, {key}: {value}}}"])
    said = f"stages.1.draw.{key} = {value!r} has no effect with by = {by!r}. Set stages.1.draw.by"
    assert f"{said} to {other}, or leave it out" in str(caught.value)
