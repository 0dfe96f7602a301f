"""What to do when the machine fails: a full disk, a refused write, a package that is not there."""

from __future__ import annotations

import errno

STACK = ("torch", "torchvision", "transformers", "ray", "vllm", "deepspeed", "decord")
"""What `make setup` installs and the method alone does not need."""
OPTIONAL = ("tensorboardX",)
REMEDIES = {
    errno.ENOSPC: "no space left on the disk; make room and run it again",
    errno.EDQUOT: "the disk quota is used up; make room and run it again",
    errno.EACCES: "no permission; choose a place you may write to",
    errno.EROFS: "the file system is read-only; choose a place you may write to",
    errno.EADDRINUSE: "a network port is taken; stop the other program, or run it again",
}


def remedy(error: OSError | ModuleNotFoundError) -> str | None:
    """What to do about a failure of the machine; None for everything that is our own bug."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name in OPTIONAL:
            return f"{name} is not installed here; run `pip install {name}`"
        return f"{name} is not installed here; run `make setup`" if name in STACK else None
    said = REMEDIES.get(error.errno or 0)
    where = f"{error.filename}: " if error.filename else ""
    return where + said if said else None
