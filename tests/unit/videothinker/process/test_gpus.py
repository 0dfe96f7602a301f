"""What a machine's driver says of its GPUs, and what of it keeps a run from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from videothinker.process import gpus as module
from videothinker.process.gpus import Gpu, NoDriver, fault, faults, gpus

A6000 = "NVIDIA RTX A6000, 49140, 48000, 580.95.05, 8.6"
CARD = Gpu(name="NVIDIA RTX A6000", gb=51.5, free_gb=50.3, driver="580.95.05", capability=(8, 6))


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi that prints this file and ends with the code in its last line."""
    program, words = tmp_path / "nvidia-smi", tmp_path / "words"
    program.write_text(f'#!/bin/sh\nhead -n -1 {words}\nexit "$(tail -n 1 {words})"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return words


def test_each_card_is_read_from_a_line(says: Path) -> None:
    says.write_text(f"{A6000}\nNVIDIA H200, 143771, 143000, 580.95.05, 9.0\n0\n")
    first, second = gpus()
    assert first == CARD
    assert (second.gb, second.capability) == (150.8, (9, 0))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("NVIDIA-SMI has failed because it couldn't communicate with the driver.\n9\n", "failed"),
        ("No devices were found\n6\n", "No devices"),
        ("\n0\n", "nothing"),
        ("NVIDIA RTX A6000, [N/A], [N/A], 580.95.05, 8.6\n0\n", "N/A"),
    ],
)
def test_a_driver_that_does_not_say_is_none(says: Path, words: str, reason: str) -> None:
    says.write_text(words)
    with pytest.raises(NoDriver, match=reason):
        gpus()


def test_without_the_program_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROGRAM", "nvidia-smi-that-nobody-has")
    with pytest.raises(NoDriver, match="there is no nvidia-smi"):
        gpus()
    monkeypatch.setattr(module, "cuda_of_torch", lambda: "13.0")
    said = fault("cuda")
    assert said
    assert "no driver answers here" in said
    assert "580 or later" in said
    assert "--gpus all" in said


def test_packages_for_the_other_device_are_named_with_the_command_that_brings_these(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fault("cpu") is None
    assert "make setup-gpu" in (fault("cuda") or "")
    monkeypatch.setattr(module, "cuda_of_torch", lambda: "13.0")
    assert "`make setup`" in (fault("cpu") or "")


def test_cards_that_serve_have_no_fault(says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says.write_text(f"{A6000}\n{A6000}\n0\n")
    monkeypatch.setattr(module, "cuda_of_torch", lambda: "13.0")
    assert fault("cuda", {}) is None
    assert fault("cuda", {"CUDA_VISIBLE_DEVICES": "1"}) is None
    assert "hides all 2 GPUs" in (fault("cuda", {"CUDA_VISIBLE_DEVICES": ""}) or "")


OLD = Gpu(name="Tesla T4", gb=16.1, free_gb=16.0, driver="580.1", capability=(7, 5))


@pytest.mark.parametrize(
    ("cuda", "visible", "expected"),
    [
        ("12.8", None, "T4 has compute capability 7.5, and bfloat16 needs 8.0"),
        ("13.0", "0", None),
        ("13.0", "0,1", "T4 has"),
        ("13.0", "-1", "hides all 2"),
        ("13.0", "2,0", "hides all 2"),
        ("13.0", "GPU-5ebe9f43", "T4 has"),
        ("14.0", "0", None),
    ],
)
def test_what_a_variable_leaves_is_what_counts(
    cuda: str, visible: str | None, expected: str | None
) -> None:
    said = next(faults([CARD, OLD], cuda, visible), None)
    assert (expected or "") in (said or "")
    assert (said is None) == (expected is None)


def test_a_driver_too_old_for_the_installed_cuda_is_named() -> None:
    card = Gpu(name="A6000", gb=51.5, free_gb=50.0, driver="550.54.15", capability=(8, 6))
    assert next(faults([card], "12.8", None), None) is None
    said = next(faults([card], "13.0", None), None)
    assert said == "NVIDIA's driver 550.54.15 is too old for CUDA 13.0: install 580 or later"
