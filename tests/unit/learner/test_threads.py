"""How many cores a learner's rank takes on a CPU."""

from __future__ import annotations

import os

import pytest
import torch

from learner import rank as module
from learner.rank import LearnerRank


@pytest.mark.parametrize(
    ("beside", "ranks", "threads"),
    [(0, 1, [8]), (2, 1, [6]), (2, 2, [3]), (9, 1, [1]), (None, 1, [])],
)
def test_a_rank_has_its_share_of_the_cores_that_nobody_else_uses(
    beside: int | None, ranks: int, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    for name in ("meet", "connect"):
        monkeypatch.setattr(module, name, lambda *_: None)
    rank = LearnerRank("cpu", beside)
    rank._meeting_point = None
    rank.connect(ranks - 1, ranks, "127.0.0.1", 1)
    assert taken == threads
