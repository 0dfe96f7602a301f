"""What vLLM packs for a CPU beside the unpacked weights: stale copies go, one is made at use."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from actors.vllm_worker import pack_at_use


class Layer(torch.nn.Module):
    """Of vLLM, packed when it was loaded."""

    cpu_linear: Any

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight, requires_grad=False)
        pack(self)


def pack(layer: Any, *, remove_weight: bool = False) -> None:
    assert not remove_weight
    packed = layer.weight.clone()
    layer.cpu_linear = lambda x, weight, bias: x @ packed.T


@pytest.fixture(autouse=True)
def vllm(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stands in for vLLM's packing; the layers that were packed since."""
    packed: list[Any] = []
    utils = ModuleType("vllm.model_executor.layers.utils")

    def dispatch(layer: Any, *, remove_weight: bool) -> None:
        packed.append(layer)
        pack(layer, remove_weight=remove_weight)

    utils.dispatch_cpu_unquantized_gemm = dispatch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    return packed


def test_what_multiplies_is_packed_again_once_and_what_looks_up_never(vllm: list[Any]) -> None:
    head, embeddings = Layer(torch.eye(2)), Layer(torch.eye(2))
    embeddings.weight = head.weight  # tied
    pack_at_use([head, embeddings])
    head.weight.data.mul_(3)  # new weights come into the same memory
    x = torch.tensor([[1.0, 2.0]])
    for _ in range(2):
        assert torch.equal(head.cpu_linear(x, head.weight, None), 3 * x)
    assert vllm == [head]


def test_a_layer_whose_only_copy_is_the_packed_one_keeps_it(vllm: list[Any]) -> None:
    layer = Layer(torch.eye(2))
    layer.weight = torch.nn.Parameter(torch.empty(0), requires_grad=False)
    before = layer.cpu_linear
    pack_at_use([layer, torch.nn.Linear(2, 2)])
    assert layer.cpu_linear is before
    assert vllm == []
