"""The only place that imports DeepSpeed: the policy, its optimizer and their shards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videothinker.config import Device, LearnerConfig
from videothinker.model.policy import Policy, load_model

BACKEND = {"cpu": "gloo", "cuda": "nccl"}


def connect(rank: int, world: int, host: str, port: int, device: Device) -> None:
    """Join the learner's process group; DeepSpeed reads its place from the environment."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": "0",
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
    }
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
    import deepspeed

    deepspeed.init_distributed(BACKEND[device], verbose=False)


class Trainee:
    """A policy under DeepSpeed: accumulate gradients group by group, then step once."""

    def __init__(self, model: Path, dtype: str, config: LearnerConfig) -> None:
        import deepspeed

        module = load_model(model, dtype)
        if config.gradient_checkpointing:
            module.gradient_checkpointing_enable()
        module.train()
        policy = Policy(module)
        optimizer = torch.optim.AdamW(
            policy.parameters(), lr=config.learning_rate, weight_decay=0.0
        )
        self._engine, *_ = deepspeed.initialize(
            model=policy, optimizer=optimizer, config=deepspeed_settings(config, dtype)
        )
        self._model = module
        self._sharded = config.zero_stage == 3

    def __call__(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """The policy's forward pass."""
        outputs: tuple[Tensor, Tensor] = self._engine(*inputs)
        return outputs

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate one group's gradient; ranks exchange theirs on the last."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self, learning_rate: float) -> float:
        """Apply the accumulated gradient; returns its norm before clipping."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()
        return float(self._engine.get_global_grad_norm() or 0.0)

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """The Hugging Face model with every parameter present on every rank."""
        import deepspeed

        parameters = list(self._model.parameters())
        with deepspeed.zero.GatheredParameters(parameters, enabled=self._sharded):
            yield self._model

    def save_shards(self, folder: Path) -> None:
        """This rank's part of optimizer and parameters."""
        self._engine.save_checkpoint(str(folder), tag="shards")

    def load_shards(self, folder: Path) -> None:
        """What `save_shards` wrote, on the same number of ranks."""
        self._engine.load_checkpoint(str(folder), tag="shards")


def deepspeed_settings(config: LearnerConfig, dtype: str) -> dict[str, Any]:
    """DeepSpeed's own configuration, built from ours so that no second file can disagree."""
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,  # `Trainee.backward` says where a step ends
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": dtype == "bfloat16"},
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
    }


def has_non_finite(values: Tensor) -> bool:
    """Whether any rank holds a number that is not finite; every rank gets the same answer."""
    return bool(max_over_ranks((~torch.isfinite(values)).any().float()))


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean over the learner's ranks."""
    values = values.clone()
    torch.distributed.all_reduce(values)
    return values / torch.distributed.get_world_size()


def max_over_ranks(values: Tensor) -> Tensor:
    """The largest over the learner's ranks."""
    values = values.clone()
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return values
