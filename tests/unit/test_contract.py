"""The table of what we rely on in other packages is complete."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from contract.table import Name, table
from contract.using import ROOT, Use, files, uses

from actors.vllm_engine import CPU_ENVIRONMENT, ENGINE_ENVIRONMENT, engine_options
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import Device, RolloutConfig

PACKAGES = ("vllm", "deepspeed", "transformers", "torch", "peft")
COMPUTING = ("torch", "torch.nn", "torch.nn.functional")
"""Every test computes with what these hold themselves."""
FILES = files(
    "actors/**/*.py",
    "learner/**/*.py",
    "videothinker/model/**/*.py",
    "videothinker/process/device.py",
)
TABLE = table()


def relied_on(file: str) -> Iterator[Use]:
    """What has to stand in the table."""
    for use in uses((ROOT / file).read_text(), PACKAGES):
        holder = use.path.rpartition(".")[0]
        if holder and holder not in COMPUTING and ".__" not in use.path:
            yield use


def written(file: str) -> dict[str, Name]:
    return {name.path: name for name in TABLE if name.user == file}


@pytest.mark.parametrize("file", FILES)
def test_every_name_that_a_file_takes_from_other_packages_stands_in_the_table(file: str) -> None:
    there = written(file)
    absent = {
        use.path
        for use in relied_on(file)
        if not any(f"{path}.".startswith(f"{use.path}.") for path in there)
    }
    assert absent == set(), f"belongs into tests/contract/names.py, under {file}"


@pytest.mark.parametrize("file", FILES)
def test_every_argument_that_a_file_gives_stands_in_the_table(file: str) -> None:
    there = written(file)
    calls = [(use, name.call) for use in relied_on(file) if (name := there.get(use.path))]
    unknown = [
        f"{use.path}: {sorted(use.by_name) or use.by_position}"
        for use, call in calls
        if call and (use.by_name - call.given or use.by_position > len(call.by_position))
    ]
    assert unknown == [], f"belongs into tests/contract/names.py, under {file}"


@pytest.mark.parametrize("file", FILES)
def test_a_name_in_the_table_is_used_by_whom_it_says(file: str) -> None:
    words = {"__call__", "forward", *re.findall(r"\w+", (ROOT / file).read_text())}
    assert [path for path in written(file) if path.rpartition(".")[2] not in words] == []


def test_the_table_speaks_of_files_that_are_there() -> None:
    assert {name.user for name in TABLE} <= {*FILES}


def test_every_option_of_an_engine_stands_in_the_table() -> None:
    devices: tuple[Device, ...] = ("cpu", "cuda")
    options = {
        option
        for device in devices
        for ranks in (1, 2)
        for sleep in (False, True)
        for option in engine_options(
            ROOT,
            "bfloat16",
            RolloutConfig(max_model_len=512, tensor_parallel=ranks, sleep=sleep, drafts=4),
            device,
            0.5,
            LoraConfig(),
        )
    }
    call = written("actors/vllm_engine.py")["vllm.LLM"].call
    assert call is not None
    assert call.by_name == options


def test_every_variable_that_an_engine_is_told_stands_in_the_table() -> None:
    there = written("actors/vllm_engine.py")
    told = {path.rpartition(".")[2] for path in there if path.startswith("vllm.envs.")}
    variables = {*ENGINE_ENVIRONMENT, *CPU_ENVIRONMENT}
    assert told == {name for name in variables if name.startswith("VLLM_")}
