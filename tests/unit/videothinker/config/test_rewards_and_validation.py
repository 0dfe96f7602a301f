"""Rewards, deductions, validations and copies that a configuration asks for and that could not be
had."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from smallest_config import SMALLEST

from videothinker.config.loading import load_config, to_yaml
from videothinker.errors import ConfigError


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALLEST)
    return path


def only_problem(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    [_, problem] = str(caught.value).splitlines()
    return problem


@pytest.mark.parametrize(
    ("stage", "data", "said"),
    [
        ({"keep_best": "overall"}, {}, "keep_best = 'overall' has no effect without data.valid"),
        ({"validate_every": 10}, {}, "validate_every = 10 has no effect without data.validation"),
        (
            {"keep_best": "overall", "steps": 50},
            {"validation": "v"},
            "keep_best = 'overall' has no effect: with stages.0.validate_every = 50 nothing is",
        ),
        (
            {"validate_every": 0, "validate_questions": 9},
            {"validation": "v"},
            "validate_questions = 9 has no effect: with stages.0.validate_every = 0 nothing is",
        ),
        (
            {"validate_every": 80, "steps": 80},
            {"validation": "v"},
            "validate_every = 80 has no effect: with stages.0.validate_every = 80 nothing is",
        ),
        (
            {"patience": 2},
            {"validation": "v"},
            "patience = 2: nothing says which model is the best",
        ),
    ],
)
def test_a_validation_that_would_not_happen_is_refused(
    small: Path, stage: dict[str, object], data: dict[str, str], said: str
) -> None:
    overrides = [f"stages.0.{key}={value}" for key, value in stage.items()]
    overrides += [f"data.{key}={value}" for key, value in data.items()]
    assert said in only_problem(small, *overrides)


def test_usual_validation_is_no_problem_in_a_short_stage_or_without_questions(small: Path) -> None:
    load_config(small, ["stages.0.steps=3"])
    load_config(small, ["stages.0.steps=3", "data.validation=v"])
    load_config(small, ["stages.0.validate_every=0"])


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        ("{}", "rewards.0: one of name and call says what is paid"),
        ("{name: format, call: a.py:f}", "rewards.0: one of name and call says what is paid"),
        ("{name: format, weight: 0}", "rewards.0.weight = 0: format would have no effect"),
        ("{name: format, seconds: 5}", "rewards.0.seconds: format is no function of yours"),
        ("{call: a.py:format}", "rewards.0.call: format is the name of a reward of ours"),
        ("{call: a.py}", "rewards.0.call = 'a.py': not a file and a function in it"),
        ("{call: 'a.txt:f'}", "rewards.0.call = 'a.txt:f': not a file and a function in it"),
        ("{call: a.py:f, wieght: 2}", "rewards.0.wieght: unknown key. Did you mean 'weight'?"),
        ("{call: a.py:f}, {call: b.py:f}", "the same reward is named twice"),
        ("accuracy, soft_accuracy", "rewards: accuracy and soft_accuracy pay for the same"),
    ],
)
def test_a_reward_that_cannot_be_paid_is_refused(small: Path, reward: str, said: str) -> None:
    assert said in only_problem(small, f"rewards=[{reward}]")


def test_rewards_are_written_back_as_short_as_they_may_be_given(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = "rewards=[format, {name: accuracy, weight: 2}, {call: own.py:brief, weight: 0.5}]"
    config = load_config(small, [given])
    called = {"call": f"{tmp_path}/own.py:brief", "weight": 0.5, "seconds": 60.0, "memory_gb": 4.0}
    assert yaml.safe_load(to_yaml(config))["rewards"] == [
        "format",
        {"name": "accuracy", "weight": 2.0},
        called,
    ]
    small.write_text(to_yaml(config))
    assert load_config(small) == config


def test_a_run_needs_a_reward(small: Path) -> None:
    assert "nothing to learn from" in only_problem(small, "rewards=[]")


TIE_BREAK = (
    "stages.0.kl={{direction: tie_break, anchor: base, likelihood: absolute, coefficient: 0.5{}}}"
)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (TIE_BREAK.format(", bound: 3"), "with direction tie_break, bound = 3.0 would have no"),
        (TIE_BREAK.format(", target: 1"), "with direction tie_break, target = 1.0 would have no"),
        (TIE_BREAK.replace(", coefficient: 0.5", "").format(""), "kl.coefficient: missing; the"),
        (
            TIE_BREAK.replace("absolute", "relative").format(""),
            "relative to itself it finds every",
        ),
        ("stages.0.kl={direction: repel, anchor: base, likelihood: absolute}", "would have no eff"),
        (TIE_BREAK.replace("0.5", "1.5").format(""), "coefficient = 1.5: with direction tie_break"),
        (TIE_BREAK.replace("0.5", "0").format(""), "coefficient = 0: with direction tie_break"),
    ],
)
def test_a_tie_break_has_an_anchor_and_a_share_of_the_reward_and_nothing_else(
    small: Path, override: str, said: str
) -> None:
    assert said in only_problem(small, override)


def test_a_tie_break_on_no_reward_is_refused(small: Path) -> None:
    said = only_problem(small, TIE_BREAK.format(""), "rewards=[format]")
    assert "none of the rewards format is for the answer" in said


def test_a_tie_break_is_read_back_as_it_was_written(small: Path, tmp_path: Path) -> None:
    config = load_config(small, [TIE_BREAK.format("")])
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(to_yaml(config))
    assert load_config(resolved) == config


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "stages.0.category=sports",
            "stages.0.category = 'sports': with data.category = 'probe' a question is observational"
            " or inferential",
        ),
        ("data.category=guessed", "data.category = 'guessed'"),
        ("data.probes=[]", "data.probes"),
        ("data.probes=[deaf]", "data.probes.0 = 'deaf'"),
    ],
)
def test_labels_that_probes_cannot_give_are_refused(small: Path, override: str, said: str) -> None:
    assert said in only_problem(small, "data.category=probe", override)


def test_probes_that_are_not_asked_are_refused(small: Path) -> None:
    said = only_problem(small, "data.probes=[blind]")
    assert "data.probes = ['blind'] has no effect with data.category = 'given'" in said
    probing = load_config(small, ["data.category=probe", "data.probes=[blind]"])
    (small.parent / "again.yaml").write_text(to_yaml(probing))
    assert load_config(small.parent / "again.yaml") == probing
    load_config(small, ["stages.0.category=sports"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("/mnt/share/run", "copy_to = '/mnt/share/run': not an address. Name one such as s3://"),
        ("sftp://me:secret@host/run", "copy_to: has a password in it, which config.yaml would"),
        ("file://{out}/copy", "lies in out, which it copies. Name another place"),
    ],
)
def test_a_copy_goes_to_an_address_elsewhere_without_a_password(
    small: Path, given: str, said: str
) -> None:
    problem = only_problem(small, f"copy_to={given.format(out=Path('runs/small').absolute())}")
    assert said in problem
    assert "secret" not in problem
