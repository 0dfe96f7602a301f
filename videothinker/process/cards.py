"""What cards can do at most, from their vendor's sheets; of those listed, and of no others."""

from __future__ import annotations

BFLOAT16 = {
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA GeForce RTX 3090": 71e12,
    "NVIDIA GeForce RTX 4090": 165.2e12,
    "NVIDIA GeForce RTX 5090": 209.5e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 NVL": 835.5e12,
    "NVIDIA H100 PCIe": 756.5e12,
    "NVIDIA H200": 989.4e12,
    "NVIDIA H200 NVL": 835.5e12,
    "NVIDIA L40S": 362.05e12,
    "NVIDIA RTX A6000": 154.8e12,
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": 438.9e12,
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": 503.8e12,
}
"""Operations of matrix products in a second, by the name that the driver gives a card: of bfloat16
summed up in float32, without sparsity, for which the sheets print twice as much. From NVIDIA's data
sheets of A100, H100, H200, B200, L40S and RTX PRO 6000, and its papers on the architectures GA102
(3090, A6000), Ada (4090) and RTX Blackwell (5090)."""


def peak_flops(card: str | None, dtype: str) -> float | None:
    """Of one card in the model's type; None where nobody has said."""
    return BFLOAT16.get(card or "") if dtype == "bfloat16" else None
