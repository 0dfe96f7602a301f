"""A reward of the user's on completions that a run has made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import completion, group, question

from videothinker.cli.main import main
from videothinker.config.rewards import RewardConfig
from videothinker.errors import InputError
from videothinker.run.directory import RunDirectory
from videothinker.run.trying import Trial, try_reward
from videothinker.types import ScoredGroup

FILE = """
def words(completion, question):
    print("seen", question.id)
    if question.id == "broken":
        raise ValueError("no")
    assert question.kind == "number" and question.tolerance == 0.5, question
    assert question.wording == "direct"
    return len(completion.split())


def nothing(completion, question):
    return None
"""
LONG = "one two three"


def made(name: str, *texts: str) -> ScoredGroup:
    asked = question(name, answer="3", options=(), kind="number", tolerance=0.5, wording="direct")
    return ScoredGroup(
        group=group(*map(completion, texts), about=asked),
        rewards={"accuracy": np.arange(len(texts), dtype=np.float32)},
        advantages=np.zeros(len(texts), np.float32),
        anchor_logprobs=None,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three steps, whose last two have a group each that is paid alike."""
    (tmp_path / "own.py").write_text(FILE)
    directory = RunDirectory.create(tmp_path / "run", "")
    for step, groups in enumerate(
        ([made("old", "x")], [made("a", "one", LONG)], [made("b", "", ""), made("broken", "x")]), 1
    ):
        directory.record({"stage": "bias", "step": step})
        directory.rollouts("bias", step, groups)
    return directory.path


def tried(run: Path, steps: int = 2, name: str = "words") -> Trial:
    return try_reward(RewardConfig(call=f"{run.parent}/own.py:{name}"), run, steps)


def test_the_newest_groups_are_paid_as_the_run_asked_them(run: Path) -> None:
    trial = tried(run)
    assert [(one.id, one.paid, one.rewards) for one in trial.paid] == [
        ("a", 1, 0),
        ("a", 3, 1),
        ("b", 0, 0),
        ("b", 0, 1),
    ]
    assert trial.failures == ("reward own.py:words: ValueError: no (line 5)",)
    told = trial.as_dict()
    assert (told["mean"], told["lowest"], told["highest"]) == (1, 0, 3)
    assert (told["groups"], told["equal_reward_groups"]) == (3, 0.5)
    assert len(tried(run, steps=3).paid) == 5


def test_the_table_begins_with_the_best_paid(run: Path) -> None:
    header, _, first, *rest = tried(run).text().splitlines()
    assert header.split() == ["words", "in", "the", "run", "right", "completion"]
    assert first.split() == ["3", "1", "3", *LONG.split()]
    assert rest[-1].startswith("4 completions of 3 groups: mean 1, from 0 to 3; in 1 of the groups")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("own.py:nothing",), "it paid None for completion 1"),
        (("own.py:absent",), "there is no function absent; it has words, nothing"),
        (("none.py:words",), "none.py: no such file"),
        (("own.py",), "own.py: not a file and a function in it; written rewards.py:FUNCTION"),
        (("own.py:words", "--steps", "0"), "--steps 0: at least one step is needed"),
        (("own.py:words", "--run", "elsewhere"), "elsewhere: no rollouts there"),
    ],
)
def test_what_cannot_be_tried_is_one_line(
    run: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[Any],
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["reward", "try", "--run", "run", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err.splitlines()[-1]


def test_what_it_prints_and_what_it_fails_at_goes_to_stderr(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    monkeypatch.chdir(run.parent)
    assert main(["reward", "try", "own.py:words", "--run", "run"]) == 0
    shown = capsys.readouterr()
    assert "seen" not in shown.out
    assert shown.err.count("printed: seen a") == 2
    assert "not paid: reward own.py:words: ValueError: no (line 5)" in shown.err


def test_a_run_without_a_step_has_nothing_to_try_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rollouts there"):
        try_reward(RewardConfig(call="own.py:words"), tmp_path, 5)
