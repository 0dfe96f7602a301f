"""What only a GPU has to be told, so that everything else reads the same for both devices."""

from __future__ import annotations

import gc
import os
from pathlib import Path

from videothinker.config.settings import Device


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
