"""What can be counted of a computation, the same on every machine: arithmetic, calls, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop


def flops(work: Callable[[], object]) -> int:
    """Counted by torch; its counter knows attention kernels of GPUs only, so the CPU's is added."""
    aten = torch.ops.aten
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
            aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
        },
    )
    with counter:
        work()
    return int(counter.get_total_flops())


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Of every query with every key: a mask saves this kernel nothing."""
    return int(sdpa_flop(query, key, value))


def attention_backward_flops(
    gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any
) -> int:
    """The same of the backward pass."""
    return int(sdpa_backward_flop(gradient, query, key, value))


@contextmanager
def rows_into(module: nn.Module) -> Iterator[list[int]]:
    """Of every call of a module inside the block, how many rows it was given."""
    seen: list[int] = []

    def look(_: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(len(given[0]))

    handle = module.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def memory(kind: str) -> float:
    """MiB of this process: VmRSS, in use now; VmHWM, the most so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024
