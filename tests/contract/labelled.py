"""`python tests/contract/labelled.py`: the policy forward and backward on tensors labelled cuda:0.

They are computed on the CPU, in float32, and an operation that mixes them with tensors that say cpu
is refused, as a card would refuse it; indices too, although a card takes those. No kernel of CUDA's
runs, nor the attention that 16 bits get there.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from paper_shape import made_up_group
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from videothinker.model.policy import Policy, load_model

CARD = torch.device("cuda", 0)
MODEL = Path(__file__).parents[2] / "videothinker/mini/shipped"
GUARDED = 64
"""Devices that torch's guard has, where it guards none."""
BETWEEN = ("aten::_to_copy", "aten::copy_")
"""What brings a tensor from one device to another."""


class Labelled(torch.Tensor):
    """Says that it is on a card, and holds its numbers in a tensor that is not."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls: type[Labelled], held: torch.Tensor) -> Labelled:
        made: Labelled = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CARD,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, _: Any, args: Any = (), options: Any = None) -> Any:
        return computed(operation, args, options or {})


class OnCard(TorchDispatchMode):
    """What is made on the card is labelled, too."""

    def __torch_dispatch__(
        self, operation: Any, _: Any, args: Any = (), options: Any = None
    ) -> Any:
        return computed(operation, args, options or {})


class Filled(TorchFunctionMode):
    """`torch.tensor` fills memory without asking for an operation."""

    def __torch_function__(self, function: Any, _: Any, args: Any = (), options: Any = None) -> Any:
        options = dict(options or {})
        if function in (torch.tensor, torch.as_tensor) and options.get("device") is not None:
            device = options.pop("device")
            return function(*args, **options).to(device)
        return function(*args, **options)


def computed(operation: Any, args: Any, options: dict[str, Any]) -> Any:
    """The operation on what its arguments hold."""
    leaves = [one for one in tree_leaves((args, options)) if isinstance(one, torch.Tensor)]
    labelled = [isinstance(one, Labelled) for one in leaves]
    name = operation._schema.name
    mixed = any(labelled) and any(one.dim() and type(one) is not Labelled for one in leaves)
    if mixed and name not in BETWEEN:
        raise RuntimeError(f"{name} has tensors on {CARD} and on the CPU")
    device = options.get("device")
    if device is not None:
        options = options | {"device": torch.device("cpu")}
    found = ON_CARDS_ALONE.get(name, operation)(*held(args), **held(options))
    if name.endswith("_"):  # in place
        return args[0]
    here = torch.device(device).type == "cuda" if device is not None else any(labelled)
    return tree_map_only(torch.Tensor, Labelled, found) if here else found


def held(arguments: Any) -> Any:
    return tree_map_only(Labelled, lambda one: one.held, arguments)


def norm_backward(
    gradient: torch.Tensor, states: torch.Tensor, _: Any, scale: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    weight, normal = rest[0], states * scale
    inner = gradient * weight
    towards = (inner * normal).mean(-1, keepdim=True)
    return scale * (inner - normal * towards), (gradient * normal).flatten(0, -2).sum(0)


ON_CARDS_ALONE = {"aten::_fused_rms_norm_backward": norm_backward}
"""What a CPU has no kernel for."""


def on_card() -> Policy:
    """The shipped model, labelled."""
    model = load_model(MODEL, "float32")
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(parameter.detach().to(CARD)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(CARD))
    model.tie_weights()
    return Policy(model)


def main() -> None:
    torch.cuda._lazy_init = lambda: None  # there is no driver to ask
    torch._C._ensureCUDADeviceGuardSet()  # one that guards nothing, while there is no device
    devices = ctypes.c_int8.in_dll(ctypes.CDLL(None), "videothinker_devices")
    with OnCard(), Filled():
        policy = on_card()
        groups = [made_up_group(policy.model, (2, 8, 4), 3, lengths) for lengths in ((20, 5), (9,))]
        logp, entropy = policy(groups, 1.0)
        loss = logp.sum() + entropy.sum()
        devices.value = GUARDED  # autograd asks each; attention would ask for more than is there
        loss.backward()
        without = [name for name, one in policy.named_parameters() if one.grad is None]
        elsewhere = [name for name, one in policy.named_parameters() if not one.grad.is_cuda]
    assert logp.device == entropy.device == CARD
    assert not without, without
    assert not elsewhere, elsewhere


if __name__ == "__main__":
    main()
