"""The learner's and the scorer's work at a real model's shape, on tensors that hold no numbers.

Operators are called as on a GPU, in 16 bits, and every allocation is seen; nothing is computed, so
a model of any size takes seconds.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from paper_shape import made_up_group
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from videothinker import cpu_torch
from videothinker.config.lora import LoraConfig
from videothinker.model import layers
from videothinker.model.adapters import POLICY, insert
from videothinker.model.families.known import family_in
from videothinker.model.families.llava_onevision import OnevisionShape
from videothinker.model.families.qwen2_vl import Qwen2Shape
from videothinker.model.families.qwen3_vl import Qwen3Shape
from videothinker.model.policy import Policy
from videothinker.model.shape import ModelShape

NOTHING_STARTS = ("aten._unsafe_view.default", "aten.new_empty_strided.default")
"""Operators that neither compute nor are declared views of what they are given."""
ALLOCATES = "aten.empty"


@dataclass(frozen=True, kw_only=True)
class Traced:
    """Of one row; bytes beyond the weights."""

    launches: Counter[str]
    """By operator; views and allocations start nothing."""
    kept: int
    """By the forward pass for the backward pass."""
    peak: int
    """Gradients leave once they are there, so that never more than a few are."""


class Watch(TorchDispatchMode):
    """Counts what starts something on the device, and the bytes that are there."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.now = 0
        self.peak = 0
        self._live: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, output)) if isinstance(leaf, Tensor)]
        if any(tensor.is_meta for tensor in tensors):
            name = str(func)
            if not (func.is_view or name in NOTHING_STARTS or name.startswith(ALLOCATES)):
                self.launches[name] += 1
            for leaf in tree_leaves(output):
                if isinstance(leaf, Tensor) and leaf.is_meta:
                    self.note(leaf)
        return output

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's memory until nothing refers to it any more."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:
            return
        self._live.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._live.discard(key)
        self.now -= size


def config_of(shape: ModelShape, **tokens: int) -> Any:
    """The configuration of a model of this shape; `tokens` are the special ones' numbers."""
    cpu_torch.install()
    from transformers import (
        LlavaOnevisionConfig,
        Qwen2_5_VLConfig,
        Qwen2VLConfig,
        Qwen3VLConfig,
    )

    half = shape.head_dim // 2
    text = {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "max_position_embeddings": 128_000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8],
        },
        "tie_word_embeddings": shape.tied,
    }
    vision = {
        "depth": shape.vision_layers,
        "hidden_size": shape.vision_hidden,
        "intermediate_size": shape.vision_intermediate,
        "num_heads": 16,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "out_hidden_size": shape.hidden,
        "tokens_per_second": 2,
    }
    kind = Qwen2_5_VLConfig
    if isinstance(shape, Qwen3Shape):
        kind = Qwen3VLConfig
        text["head_dim"] = shape.head_dim
        del vision["fullatt_block_indexes"], vision["tokens_per_second"]
        vision["deepstack_visual_indexes"] = list(range(shape.deep))
    elif isinstance(shape, Qwen2Shape):
        kind = Qwen2VLConfig
        sides = {"depth": shape.vision_layers, "embed_dim": shape.vision_hidden}
        vision = sides | {"num_heads": 16, "hidden_size": shape.hidden}
    elif isinstance(shape, OnevisionShape):
        kind = LlavaOnevisionConfig
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6}
        vision = {
            "hidden_size": shape.vision_hidden,
            "num_hidden_layers": shape.vision_layers,
            "intermediate_size": shape.vision_intermediate,
            "num_attention_heads": shape.vision_heads,
            "image_size": shape.frame,
            "patch_size": shape.patch,
            "vision_use_head": False,
        }
    config = kind(text_config=text, vision_config=vision, tie_word_embeddings=shape.tied, **tokens)
    config._attn_implementation = "sdpa"
    return config


def without_numbers(config: Any) -> Any:
    """The model of a configuration, in 16 bits, on no device."""
    kind = family_in(config).model_class()
    with torch.device("meta"):
        model = kind._from_config(config, dtype=torch.bfloat16)
    model.tie_weights()
    return model


def random_model(shape: ModelShape, **tokens: int) -> Any:
    """Small random numbers, whose answers are noise; `tokens` as in a config.json."""
    model = without_numbers(config_of(shape, **tokens)).to_empty(device="cpu")
    model.tie_weights()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_q" in name:
                parameter.fill_(1.0)
            else:
                parameter.uniform_(-0.02, 0.02)
    return model


def model_of(shape: ModelShape) -> Any:
    """A model of this shape without numbers."""
    names = ("image", "video", "vision_start", "vision_end")
    tokens = {f"{name}_token_id": shape.vocabulary - 1 - at for at, name in enumerate(names)}
    return without_numbers(config_of(shape, **tokens))


def traced(
    shape: ModelShape,
    grid: tuple[int, int, int],
    words: int,
    lengths: tuple[int, ...],
    *,
    checkpointing: bool = False,
    learns: bool = True,
    groups: int = 1,
    lora: LoraConfig | None = None,
) -> Traced:
    """One row of groups, each with a video of this grid and so many words after it."""
    model = model_of(shape).train(learns).requires_grad_(learns and lora is None)
    if lora is not None:
        insert(model, POLICY, lora, seed=0)
    if checkpointing:
        model.gradient_checkpointing_enable()
        model.disable_input_require_grads()  # or blocks that nothing is trained in keep their input
    policy = Policy(model)
    group = made_up_group(model, grid, words, lengths)
    watch = Watch()
    for parameter in policy.parameters():
        watch.note(parameter)
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(leave)
    weights = watch.now
    with watch, torch.set_grad_enabled(learns), mock.patch.object(layers, "rms_norm", fused_norm):
        logp, _ = policy([group] * groups, 1.0)
        kept = watch.now - weights
        if learns:
            logp.sum().backward()
    return Traced(launches=watch.launches, kept=kept, peak=watch.peak - weights)


def leave(parameter: Tensor) -> None:
    """As under ZeRO with an optimizer on the host: a gradient goes once it is there."""
    parameter.grad = None


def fused_norm(hidden: Tensor, shape: torch.Size, weight: Tensor, epsilon: float) -> Tensor:
    """A kernel of its own, as on a GPU; without one torch takes it to pieces."""
    output: Tensor = torch.ops.traced.rms_norm(hidden, weight, epsilon)[0]
    return output


# without an implementation: on tensors without numbers the sizes of what comes out are enough
torch.library.define("traced::rms_norm", "(Tensor x, Tensor weight, float eps) -> (Tensor, Tensor)")
torch.library.define(
    "traced::rms_norm_backward",
    "(Tensor gradient, Tensor x, Tensor weight, Tensor scale) -> (Tensor, Tensor)",
)


@torch.library.register_fake("traced::rms_norm")
def _normalized(hidden: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), hidden.new_empty(hidden.shape[:-1], dtype=torch.float32)


@torch.library.register_fake("traced::rms_norm_backward")
def _gradients(
    gradient: Tensor, hidden: Tensor, weight: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(hidden), torch.empty_like(weight)


def _remember(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:2], output[1])


def _turn_back(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
    return *torch.ops.traced.rms_norm_backward(gradient, *ctx.saved_tensors), None


torch.library.register_autograd("traced::rms_norm", _turn_back, setup_context=_remember)
