"""What only a GPU is told or asked; that a GPU heeds it is seen on one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import psutil
import pytest
import torch

from videothinker.process.device import THREADS, card, free_memory, set_threads, settle, usage
from videothinker.types import Usage

ALLOCATOR = "PYTORCH_ALLOC_CONF"


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(ALLOCATOR, "")
    monkeypatch.delenv(ALLOCATOR)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


def test_on_a_gpu_memory_may_grow_in_place_and_attention_needs_no_plan_for_each_length() -> None:
    settle("cuda")
    assert os.environ[ALLOCATOR] == "expandable_segments:True"
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_on_a_cpu_nothing_is_said() -> None:
    settle("cpu")
    assert ALLOCATOR not in os.environ
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_what_the_user_says_of_the_allocator_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALLOCATOR, "max_split_size_mb:512")
    settle("cuda")
    assert os.environ[ALLOCATOR] == "max_split_size_mb:512"


def test_processes_of_one_machine_are_on_one_card_and_it_is_no_gpu() -> None:
    code = "from videothinker.process.device import card; print(card('cpu'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == card("cpu")
    assert not card("cpu").startswith("GPU")


def test_on_a_cpu_memory_is_the_process_s_own_and_its_peak_stays() -> None:
    before = usage("cpu")
    block = np.ones(before.peak - before.memory + 64 * 2**20, np.uint8)
    held = usage("cpu")
    assert held.memory == pytest.approx(psutil.Process().memory_info().rss, abs=8 * 2**20)
    assert held.peak > before.peak
    del block
    after = usage("cpu")
    assert after.memory < held.memory
    assert after.peak == pytest.approx(held.peak, rel=0.01)
    assert (after.utilisation, after.card) == (None, None)


def test_on_a_cpu_free_memory_is_the_machine_s() -> None:
    assert free_memory("cpu") == pytest.approx(psutil.virtual_memory().available, rel=0.1)


def test_threads_are_those_that_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setenv(THREADS, "1")
    assert usage("cpu").threads == 1
    set_threads(7)
    assert (taken, usage("cpu").threads) == ([7], 7)
    monkeypatch.delenv(THREADS)
    assert usage("cpu").threads is None


class NVMLError(Exception):
    """As the driver's library has it."""


@pytest.fixture
def a_card(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An A6000 that this process has touched; what it answers can be changed."""
    library = ModuleType("pynvml")
    library.NVMLError = NVMLError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setenv(THREADS, "8")
    answers = {
        "is_initialized": True,
        "memory_reserved": 30,
        "max_memory_reserved": 40,
        "mem_get_info": (5, 48),
        "utilization": 93,
        "get_device_name": "NVIDIA RTX A6000",
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    return monkeypatch


@pytest.mark.usefixtures("a_card")
def test_a_gpu_says_what_the_process_holds_and_how_busy_the_card_is() -> None:
    assert usage("cuda") == Usage(
        memory=30, peak=40, utilisation=0.93, card="NVIDIA RTX A6000", threads=8
    )
    assert free_memory("cuda") == 5


@pytest.mark.parametrize("error", [NVMLError("not supported"), RuntimeError("device not visible")])
def test_a_part_of_a_card_does_not_say_how_busy_it_is(
    a_card: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse() -> int:
        raise error

    a_card.setattr(torch.cuda, "utilization", refuse)
    assert usage("cuda").utilisation is None
    assert usage("cuda").memory == 30


def test_a_gpu_that_the_process_has_not_touched_is_not_asked(a_card: pytest.MonkeyPatch) -> None:
    """The first question would take half a gigabyte of it."""
    a_card.setattr(torch.cuda, "is_initialized", lambda: False)
    for name in ("memory_reserved", "mem_get_info", "utilization", "get_device_name"):
        a_card.delattr(torch.cuda, name)
    assert usage("cuda") == Usage(memory=0, peak=0, threads=8)
    assert math.isnan(free_memory("cuda"))
