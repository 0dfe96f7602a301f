"""`python tests/contract/driver.py FOLDER`: writes a libcuda.so.1 there that knows of no card.

vLLM's libraries for GPUs do not load without the driver's. This one has every function that they
ask for, and each answers that there is no device.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "libcuda.so.1"
NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE."""


def asked_of_the_driver(library: Path) -> set[str]:
    """Functions that a library wants to find in the driver's; those of CUDA's own libraries begin
    with `cuda`, `cublas` and the like."""
    command = ["nm", "--dynamic", "--undefined-only", str(library)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +U (cu[A-Z]\w+)$", said, re.M))


def build(functions: Iterable[str], folder: Path) -> Path:
    """A driver with these functions."""
    source, library = folder / "driver.c", folder / LIBRARY
    lines = (f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in sorted(functions))
    source.write_text("".join(lines))
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


if __name__ == "__main__":
    vllm = find_spec("vllm")
    assert vllm is not None
    assert vllm.origin is not None
    libraries = sorted(Path(vllm.origin).parent.rglob("*.so"))
    build(set().union(*map(asked_of_the_driver, libraries)), Path(sys.argv[1]))
