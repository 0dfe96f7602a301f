"""Cards that nobody has to have, and what vLLM makes of our options on each.

The values are what vLLM said when they were written down. A new one that says something else turns
`make contract` red: then look what it means for memory, log-probs and speed before writing it here.
"""

from __future__ import annotations

from dataclasses import dataclass

from videothinker.config.settings import DType


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What vLLM asks a card for."""

    name: str
    capability: tuple[int, int]
    gib: int
    units: int
    """Multiprocessors."""


CARDS = {
    "a6000": Card(name="NVIDIA RTX A6000", capability=(8, 6), gib=48, units=84),
    "h100": Card(name="NVIDIA H100 80GB HBM3", capability=(9, 0), gib=80, units=132),
}
HEAD, VISION_HEAD = 128, 80
"""Dimensions of an attention head in Qwen2.5-VL-3B, and in its vision tower."""

ENGINE = {
    "device": "cuda",
    "worker": "vllm.v1.worker.gpu_worker.Worker",
    "executor": "uni",
    "scheduler": "AsyncScheduler",
    "model runner V2": True,
    "async scheduling": True,
    "chunked prefill": True,
    "prefix caching": True,
    "block": 32,
    "compile mode": "VLLM_COMPILE",
    "cudagraph mode": "FULL_AND_PIECEWISE",
    "largest cudagraph": 512,
}
ATTENTION: dict[DType, dict[str, str]] = {
    "bfloat16": {"attention": "FLASH_ATTN", "vision attention": "FLASH_ATTN"},
    # what agrees in float32 was computed by other kernels
    "float32": {"attention": "TRITON_ATTN", "vision attention": "TRITON_ATTN"},
}
FLASH = {"a6000": 2, "h100": 3}
"""Which generation of flash-attn's kernels the card gets."""
