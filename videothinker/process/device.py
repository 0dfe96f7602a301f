"""What only a GPU has to be told, so that everything else reads the same for both devices."""

from __future__ import annotations

import gc
import os

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


def let_go(device: Device) -> None:
    """Give back the memory of what nobody holds any more."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
