"""What we rely on in other packages is there, for CPUs; `make contract` asks those for GPUs."""

from __future__ import annotations

import pytest
from contract.checking import faults
from contract.table import table


@pytest.mark.parametrize("package", ["torch", "transformers", "deepspeed", "vllm"])
def test_every_name_in_the_table_is_there_and_takes_what_we_give(package: str) -> None:
    names = [name for name in table() if name.path.startswith(f"{package}.")]
    assert names
    assert faults(names) == []
