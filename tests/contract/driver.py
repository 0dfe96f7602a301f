"""`python tests/contract/driver.py FOLDER`: writes a libcuda.so.1 there that knows of no card.

vLLM's and torch's libraries for GPUs do not load without the driver's. This one has every function
that they ask for, and each answers that there is no device. Loaded before torch (`LD_PRELOAD`), it
also says how many devices torch has: `videothinker_devices`, without which no gradient is passed
from one labelled tensor to another (labelled.py).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

LIBRARY = "libcuda.so.1"
PACKAGES = ("vllm", "torch")
NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE."""
CONTEXT = "cuDevicePrimaryCtxGetState"
FIXED = f"""
int {CONTEXT}(int device, unsigned *flags, int *active) {{ *flags = *active = 0; return 0; }}
signed char videothinker_devices = 0;
signed char _ZN3c104cuda12device_countEv(void) {{ return videothinker_devices; }}
"""
"""Asked of no device in particular; and c10::cuda::device_count, under its name in C."""


def asked_of_the_driver(library: Path) -> set[str]:
    """Functions that a library wants to find in the driver's; those of CUDA's own libraries begin
    with `cuda`, `cublas` and the like."""
    command = ["nm", "--dynamic", "--undefined-only", str(library)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^ +U (cu[A-Z]\w+)$", said, re.M))


def build(functions: Iterable[str], folder: Path) -> Path:
    """A driver with these functions."""
    source, library = folder / "driver.c", folder / LIBRARY
    plain = sorted({*functions} - {CONTEXT})
    lines = (f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in plain)
    source.write_text(FIXED + "".join(lines))
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return library


def libraries() -> list[Path]:
    """Those that load the driver's."""
    vllm, torch = (Path(str(metadata.distribution(one).locate_file(one))) for one in PACKAGES)
    return [*sorted(vllm.rglob("*.so")), torch / "lib" / "libcaffe2_nvrtc.so"]


if __name__ == "__main__":
    build(set().union(*map(asked_of_the_driver, libraries())), Path(sys.argv[1]))
