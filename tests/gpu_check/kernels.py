"""Whether attention over sequences is the same through the device's kernel as through a mask.

The kernel's causal mask has to end where the last query and the last key meet, which the
documentation of torch's does not say.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gpu_check.part import Finding, answer
from videothinker.model import attention
from videothinker.model.attention import Sequences, after_prompts, alone, attend

HEADS, KEY_HEADS, SIZE = 16, 2, 128
GROUPS = ((700, (150, 1, 131, 166)), (64, (33, 90)))
WINDOWS = (64, 64, 40, 64, 7)
ALLOWED = 0.02
"""Relative, of outputs and gradients in 16 bits against 32."""


def states(row: int, keys: int, device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((row, HEADS, SIZE), (row, keys, SIZE), (row, keys, SIZE))
    return [torch.randn(size, generator=generator).to(device) for size in sizes]


def apart(parts: list[Tensor], sequences: Sequences) -> float:
    """The largest relative distance between 16 bits, by the kernel, and 32 without one."""

    def results(dtype: torch.dtype) -> list[Tensor]:
        inputs = [part.to(dtype).requires_grad_() for part in parts]
        output = attend(*inputs, sequences)
        weights = torch.linspace(-1, 2, output.numel(), device=output.device).view_as(output)
        return [output, *torch.autograd.grad((output.float() * weights).sum(), inputs)]

    pairs = zip(results(torch.bfloat16), results(torch.float32), strict=True)
    return max(float((here.float() - there).norm() / there.norm()) for here, there in pairs)


def kernels(device: torch.device, _: Path) -> Finding:
    row = sum(prompt + sum(completions) for prompt, completions in GROUPS)
    groups = apart(states(row, KEY_HEADS, device), after_prompts(GROUPS, device))
    windows = apart(states(sum(WINDOWS), HEADS, device), alone(WINDOWS, device))
    chosen = attention.varlen() if device.type == "cuda" else attention.by_length
    worst = max(groups, windows)
    return Finding(
        passed=worst < ALLOWED,
        said=f"{worst:.2g} apart from 32 bits, through {chosen.__name__}",
        goal=f"below {ALLOWED:g}",
        figures={"groups": groups, "windows": windows},
    )


if __name__ == "__main__":
    answer(kernels)
