"""This machine's GPUs as their driver knows them, and what keeps us from them; loads nothing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from videothinker.config.settings import Device
from videothinker.errors import VideoThinkerError

PROGRAM = "nvidia-smi"
FIELDS = ("name", "memory.total", "memory.free", "driver_version", "compute_cap")
WAIT_SECONDS = 30.0
DRIVERS = {"12": 525, "13": 580}
"""CUDA's major version -> the oldest driver that runs it."""
LEAST_CAPABILITY = (8, 0)
"""The first with bfloat16."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One card."""

    name: str
    gb: float
    free_gb: float
    driver: str
    capability: tuple[int, int]


class NoDriver(VideoThinkerError):
    """Nobody answers for this machine's GPUs."""


def gpus() -> list[Gpu]:
    """Every card, whatever a variable hides; NoDriver where the driver does not answer."""
    query = (PROGRAM, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits")
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
        )
    except FileNotFoundError:
        raise NoDriver(f"there is no {PROGRAM}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoDriver(str(error)) from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        said = (done.stdout + done.stderr).split()
        raise NoDriver(f"{PROGRAM} says: {' '.join(said)[:200] or 'nothing'}")
    return [_gpu(line) for line in lines]


def _gpu(line: str) -> Gpu:
    values = [value.strip() for value in line.split(",")]
    try:
        name, total, free, driver, capability = values
        major, minor = capability.split(".")
        return Gpu(
            name=name,
            gb=round(int(total) * 2**20 / 1e9, 1),
            free_gb=round(int(free) * 2**20 / 1e9, 1),
            driver=driver,
            capability=(int(major), int(minor)),
        )
    except ValueError:
        raise NoDriver(f"{PROGRAM} says: {line[:200]}") from None


def cuda_of_torch() -> str | None:
    """The version of CUDA that the installed torch was built for; None for a CPU build."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    said = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    found = re.search(r"^cuda\b.*= '([\d.]+)'", said, re.M)
    return found[1] if found else None


def fault(device: Device, environment: Mapping[str, str] = os.environ) -> str | None:
    """Why processes of this machine could not compute there, with what to do; None where nothing
    speaks against it.
    """
    cuda = cuda_of_torch()
    if device == "cpu":
        return cuda and (
            f"cluster.device: cpu, and the installed packages are those for GPUs (CUDA {cuda})."
            " `make setup` in another clone installs those for CPUs"
        )
    if cuda is None:
        return (
            "cluster.device: cuda, and the installed packages are those for CPUs. Install the"
            " others: make setup-gpu"
        )
    try:
        found = gpus()
    except NoDriver as error:
        return (
            f"cluster.device: cuda, and no driver answers here ({error}). Install NVIDIA's driver"
            f" {needed_driver(cuda)} or later; in a container, start it with --gpus all"
        )
    return next(faults(found, cuda, environment.get(VISIBLE)), None)


def faults(found: Sequence[Gpu], cuda: str, visible: str | None) -> Iterator[str]:
    """What is wrong with cards that are there."""
    driver = found[0].driver
    if int(driver.partition(".")[0]) < needed_driver(cuda):
        yield (
            f"NVIDIA's driver {driver} is too old for CUDA {cuda}: install {needed_driver(cuda)} or"
            " later"
        )
    left = found if visible is None else visible_of(found, visible)
    if not left:
        yield (
            f"{VISIBLE}={visible} hides all {len(found)} GPUs of this machine: unset it, or name"
            f" some, such as {VISIBLE}=0"
        )
    for gpu in left:
        if gpu.capability < LEAST_CAPABILITY:
            has, needs = (".".join(map(str, one)) for one in (gpu.capability, LEAST_CAPABILITY))
            yield (
                f"{gpu.name} has compute capability {has}, and bfloat16 needs {needs}: leave it out"
                f" with {VISIBLE}"
            )


def visible_of(found: Sequence[Gpu], visible: str) -> Sequence[Gpu]:
    """What the variable leaves of these; all, where it names them by serial number."""
    left: list[Gpu] = []
    for name in visible.replace(" ", "").split(","):
        if name.startswith(("GPU-", "MIG-")):
            return found
        if not (name.isdecimal() and int(name) < len(found)):
            break  # as CUDA does, at the first that there is not
        left.append(found[int(name)])
    return left


def needed_driver(cuda: str) -> int:
    """The oldest driver for a version of CUDA."""
    return DRIVERS.get(cuda.partition(".")[0], max(DRIVERS.values()))
