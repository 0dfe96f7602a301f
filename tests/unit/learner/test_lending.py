"""What a rank keeps of a step and does not need is given back before engines wake."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from learner import rank
from learner.rank import LearnerRank
from videothinker.config.settings import Device


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    """The devices to which memory was given back."""
    devices: list[Device] = []
    monkeypatch.setattr(rank, "let_go", devices.append)
    return devices


def holding(lends: bool) -> Any:
    """A rank of a policy of two parameters, in two parts."""
    made: Any = LearnerRank("cpu")
    parameters = {name: torch.ones(2) for name in ("a", "b")}
    made._task = SimpleNamespace(lends=lends)
    made._parts = [["a"], ["b"]]
    made._trainee = SimpleNamespace(
        parameters=parameters, sharded=False, gathered=lambda _: nullcontext()
    )
    return made


def test_before_weights_are_named_or_published_and_once(given_back: list[Device]) -> None:
    lending = holding(lends=True)
    lending.hold(1)
    assert given_back == ["cpu"]
    for number in (0, 1):
        lending.publish(2, number)
    assert given_back == ["cpu", "cpu"]


def test_nothing_is_where_nobody_waits_for_it(given_back: list[Device]) -> None:
    keeping = holding(lends=False)
    keeping.hold(1)
    keeping.publish(2, 0)
    assert given_back == []
