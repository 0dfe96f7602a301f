"""How many cores a learner's rank takes."""

from __future__ import annotations

import os

import pytest
import torch
from torch.distributed import HashStore

from learner import deepspeed_engine
from learner import rank as module
from learner.deepspeed_engine import ranks_here
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
    monkeypatch.setattr(module, "connect", lambda *_: None)
    store = HashStore()
    store.set("machine of 0", "here")
    monkeypatch.setattr(module, "meet", lambda *_: store)
    monkeypatch.setattr(deepspeed_engine, "own_address", lambda: "here")
    rank = LearnerRank("cpu", beside)
    rank._meeting_point = store
    rank.connect(ranks - 1, ranks, "127.0.0.1", 1)
    assert taken == threads


def test_ranks_of_other_machines_take_no_cores_here(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    for rank, machine in ((0, "there"), (1, "here")):
        store.set(f"machine of {rank}", machine)
    monkeypatch.setattr(deepspeed_engine, "own_address", lambda: "here")
    assert ranks_here(store, 2, 3) == 2
