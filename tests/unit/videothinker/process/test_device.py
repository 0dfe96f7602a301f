"""What only a GPU is told; that a GPU heeds it is seen on one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from videothinker.process.device import card, settle

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
