"""An engine's ranks in processes of their own, as its own process speaks to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import usage

from actors.ranks import LOOK_SECONDS, Ranks, threads_of_ranks, together
from actors.vllm_engine import engine_options
from videothinker.config.settings import RolloutConfig
from videothinker.errors import WeightsError
from videothinker.model.parts import as_part
from videothinker.types import WeightsPart

GB = 2**30
PARTS = [as_part(7, [("a", torch.ones(2, 3))]), as_part(7, [("b", torch.zeros(4))])]


class Executor:
    """vLLM's, with two ranks that note what they are asked and answer what a test says."""

    def __init__(self, **answers: Sequence[Any]) -> None:
        self.is_failed = False
        self.asked: list[tuple[str, Any]] = []
        self._answers = answers

    def collective_rpc(self, method: str, args: tuple[Any, ...] = ()) -> Sequence[Any]:
        self.asked.append((method, args))
        return self._answers.get(method, (None, None))

    def ranks(self, count: int = 2) -> Ranks:
        core = SimpleNamespace(engine_core=SimpleNamespace(model_executor=self))
        engine = SimpleNamespace(engine_core=core)
        llm = SimpleNamespace(llm_engine=engine, collective_rpc=self.collective_rpc)
        found = Ranks(llm, count, "cpu")
        self.asked.clear()
        return found

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


def executor(**answers: Sequence[Any]) -> Executor:
    usual = {"card_here": ("here", "there"), "usage_here": (usage(), usage())}
    return Executor(**usual | answers)


def test_an_engine_of_one_gpu_is_told_nothing_of_others() -> None:
    options = engine_options(Path("model"), "float32", RolloutConfig(cache_gb=3), "cuda")
    assert "tensor_parallel_size" not in options
    assert "distributed_executor_backend" not in options
    assert options["kv_cache_memory_bytes"] == 3 * GB


def test_over_three_gpus_each_has_a_third_of_the_cache_and_ray_starts_none_of_their_processes() -> (
    None
):
    config = RolloutConfig(cache_gb=3, tensor_parallel=3)
    options = engine_options(Path("model"), "float32", config, "cuda")
    assert options["tensor_parallel_size"] == 3
    assert options["distributed_executor_backend"] == "mp"
    assert options["kv_cache_memory_bytes"] == GB


@pytest.mark.parametrize(
    ("ranks", "said", "threads"),
    [(1, "8", {}), (2, "8", "4"), (3, "8", "2"), (4, "1", "1")],
)
def test_ranks_share_the_threads_of_their_engine(
    ranks: int, said: str, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_of_ranks(ranks) == (threads and {"OMP_NUM_THREADS": threads})


def test_ranks_are_bound_to_their_engine_before_anything_else() -> None:
    here = executor()
    llm = SimpleNamespace(
        llm_engine=SimpleNamespace(
            engine_core=SimpleNamespace(engine_core=SimpleNamespace(model_executor=here))
        ),
        collective_rpc=here.collective_rpc,
    )
    Ranks(llm, 2, "cpu")
    assert here.methods[0] == "end_with_engine"


def test_weights_go_to_all_ranks_a_part_at_a_time_once_none_refuses() -> None:
    here = executor()
    assert here.ranks().replace(7, PARTS) is None
    assert here.methods == ["refuses", "begin_weights", "take_part", "take_part", "finish_weights"]
    assert here.asked[0][1] == ({"a": (2, 3), "b": (4,)},)
    assert [arguments for _, arguments in here.asked[2:4]] == [(7, part) for part in PARTS]


def test_a_rank_that_refuses_is_named_and_nothing_was_changed() -> None:
    here = executor(refuses=(None, "1 of 3 tensors missing"))
    assert here.ranks().replace(7, PARTS) == "rank 1: 1 of 3 tensors missing"
    assert here.methods == ["refuses"]


def damaged(part: WeightsPart) -> WeightsPart:
    [(name, stored)] = part.tensors.items()
    return replace(part, tensors={name: replace(stored, checksum="another")})


@pytest.mark.parametrize("wrong", [damaged(PARTS[1]), replace(PARTS[1], version=6)])
def test_parts_that_are_wrong_go_to_no_rank(wrong: WeightsPart) -> None:
    here = executor()
    assert here.ranks().replace(7, [PARTS[0], wrong])
    assert here.methods == []


def test_a_part_that_is_damaged_on_its_way_is_no_refusal_but_half_a_version() -> None:
    here = executor(take_part=(None, "the checksum of a is not the published one"))
    with pytest.raises(WeightsError, match="rank 1: the checksum of a"):
        here.ranks().replace(7, PARTS)
    assert "finish_weights" not in here.methods


def test_one_rank_in_this_process_is_given_all_parts_as_they_lie() -> None:
    here = Executor(replace_weights=("1 of 3 tensors missing",))
    assert here.ranks(1).replace(7, PARTS) == "1 of 3 tensors missing"
    assert here.asked == [("replace_weights", (7, PARTS))]


def test_an_engine_is_lost_with_a_process_of_its_model_and_only_then() -> None:
    for count in (1, 2):
        here = executor()
        ranks = here.ranks(count)
        assert ranks.lost() == ""
        here.is_failed = True
        assert bool(ranks.lost()) == (count > 1)


def test_what_ranks_hold_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    here, now = executor(), [100.0]
    monkeypatch.setattr("actors.ranks.time.monotonic", lambda: now[0])
    ranks = here.ranks()
    for later in (LOOK_SECONDS - 1, 2, 1):
        now[0] += later
        ranks.look()
    assert here.methods == ["usage_here"]


def test_on_a_cpu_the_memory_of_all_processes_counts() -> None:
    found = together(usage(memory=1, peak=2), [usage(memory=10, peak=20)] * 2, "cpu")
    assert (found.memory, found.peak, found.cards) == (21, 42, 1)


def test_on_gpus_the_fullest_counts_and_how_many_there_are() -> None:
    one, other = (
        usage(memory=m, peak=30 - m, utilisation=u, card="H") for m, u in ((10, 0.5), (11, 0.7))
    )
    found = together(usage(memory=0, peak=0), [one, other], "cuda")
    assert (found.memory, found.peak, found.cards, found.card) == (11, 20, 2, "H")
    assert found.utilisation == pytest.approx(0.6)
