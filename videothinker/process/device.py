"""What only a GPU has to be told or asked, so that all else reads the same for both devices."""

from __future__ import annotations

import gc
import math
import os
import re
from pathlib import Path

from videothinker.config.settings import Device
from videothinker.types import Usage

THREADS = "OMP_NUM_THREADS"
"""The variable by which each process is told how many it computes with on cores."""
STATUS = Path("/proc/self/status")


def settle(device: Device) -> None:
    """At the start of a process that keeps a model, before anything is on its device."""
    if device == "cpu":
        return
    # rows differ in length: what one leaves free must serve the next
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    import torch

    # it plans anew for each length, which takes longer than the attention
    torch.backends.cuda.enable_cudnn_sdp(False)


def card(device: Device) -> str:
    """What two processes have to share so that one can map the other's memory: a GPU, or a
    machine's memory and its table of processes.
    """
    if device == "cpu":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"machine {boot}, {os.readlink('/proc/self/ns/pid')}"
    import torch

    return f"GPU {torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"


def let_go(device: Device) -> None:
    """Give back the memory of what nobody holds any more."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()


def set_threads(count: int) -> None:
    """Another number of threads than this process was started with, and let `usage` say so."""
    import torch

    os.environ[THREADS] = str(count)
    torch.set_num_threads(count)


def usage(device: Device) -> Usage:
    """What this process has of its device now; may be asked on any thread, at any time."""
    said = os.environ.get(THREADS, "")
    threads = int(said) if said.isdecimal() else None
    if device == "cpu":
        memory, peak = _resident()
        return Usage(memory=memory, peak=peak, threads=threads)
    import torch

    if not torch.cuda.is_initialized():  # to ask would take what a process on a GPU takes
        return Usage(memory=0, peak=0, threads=threads)
    return Usage(
        memory=torch.cuda.memory_reserved(),
        peak=torch.cuda.max_memory_reserved(),
        utilisation=_utilisation(),
        card=torch.cuda.get_device_name(),
        threads=threads,
    )


def free_memory(device: Device) -> float:
    """Bytes of the device that nobody holds; NaN as long as this process has not touched it."""
    if device == "cpu":
        import psutil

        return float(psutil.virtual_memory().available)
    import torch

    return torch.cuda.mem_get_info()[0] if torch.cuda.is_initialized() else math.nan


def _resident() -> tuple[int, int]:
    """Bytes of this process's memory, now and at most so far, as Linux says."""
    said = dict(re.findall(r"^(VmHWM|VmRSS):\s*(\d+)", STATUS.read_text(), re.M))
    return 1024 * int(said["VmRSS"]), 1024 * int(said["VmHWM"])


def _utilisation() -> float | None:
    """Of the card, whoever uses it; a slice of one (MIG) does not tell."""
    import torch
    from pynvml import NVMLError

    try:
        return torch.cuda.utilization() / 100
    except (NVMLError, RuntimeError):
        return None
