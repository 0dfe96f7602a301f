"""DeepSpeed's C++ parts, compiled on first use, by processes that may be killed meanwhile.

PyTorch guards the compiling by a file that has to be removed afterwards: whoever is killed before
that leaves it behind, and every later process waits for ever. Ours take a lock first that ends with
its owner, and compile in a folder of their own, so that a guard found there belongs to nobody.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from videothinker.files import disk_errors

GUARD = "lock"
"""PyTorch's name for it, in the folder of an extension."""


class Builder(Protocol):
    """One of DeepSpeed's."""

    name: str

    def load(self, verbose: bool = True) -> Any:
        """Compile where necessary, and import."""


def load_operator(builder: str) -> None:
    """Load an operator by the name of its builder, before DeepSpeed does, which then finds it."""
    os.environ["TORCH_EXTENSIONS_DIR"] = str(build_folder())
    from deepspeed.accelerator import get_accelerator

    operator = get_accelerator().create_op_builder(builder)
    if operator is not None and operator.is_compatible(False):
        load_guarded(operator, build_folder())


def load_guarded(builder: Builder, folder: Path) -> None:
    """One process at a time, however the one before it ended."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{builder.name}.owner").open("w")
    with file as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        (folder / builder.name / GUARD).unlink(missing_ok=True)
        builder.load(verbose=False)


@cache
def build_folder() -> Path:
    """Where nobody else compiles; PyTorch itself would keep versions apart, but not processes.

    Nor environments: the paths of their headers are part of the command, so two that shared a
    folder would compile anew whenever the other one had.
    """
    import torch
    from torch.utils.cpp_extension import get_default_build_root

    root = os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root()
    versions = f"py{sys.version_info.major}{sys.version_info.minor}-torch{torch.__version__}"
    environment = hashlib.sha256(torch.__file__.encode()).hexdigest()[:8]
    return Path(root) / "videothinker" / f"{versions}-{environment}"
