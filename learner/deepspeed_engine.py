"""The only place that imports DeepSpeed: the policy, its optimizer and their shards."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from learner.extensions import load_operator
from videothinker.config.learner import LearnerConfig, Part
from videothinker.config.settings import Device
from videothinker.model.adapters import ANCHOR, POLICY, insert, parameters, take_in
from videothinker.model.checkpoint import is_adapter
from videothinker.model.families.known import family_in, shape_of
from videothinker.model.parts import divided
from videothinker.model.policy import Policy, Voice, load_model
from videothinker.model.transfer import Entry, entry
from videothinker.process.address import listening, own_address

ADAM_NUMBERS = 2**28
"""Parameters that the host's Adam updates in one call, in which its process gives no sign of life;
a single larger tensor aside."""
BACKEND = {"cpu": "gloo", "cuda": "nccl"}


def meeting_point(host: str) -> TCPStore:
    """Where ranks find each other, on one address; torch by itself would listen on all."""
    listener = listening(host)
    port = listener.getsockname()[1]
    return TCPStore(
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )


def meet(host: str, port: int) -> TCPStore:
    """The meeting point that another rank has opened."""
    return TCPStore(host, port, is_master=False)


def ranks_here(store: TCPStore, rank: int, world: int) -> int:
    """How many of the ranks share this machine, each of which asks."""
    store.set(f"machine of {rank}", own_address())
    machines = [store.get(f"machine of {other}").decode() for other in range(world)]
    return machines.count(own_address())


def connect(rank: int, world: int, store: TCPStore, device: Device) -> None:
    """Join the learner's process group.

    DeepSpeed takes the group as it is, and reads its place from the environment.
    """
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": "0",
        "MASTER_ADDR": store.host,
        "MASTER_PORT": str(store.port),
    }
    if device == "cpu":
        os.environ["DS_ACCELERATOR"] = "cpu"
        load_operator("ShareMemCommBuilder")
    import deepspeed
    from deepspeed.constants import default_pg_timeout

    torch.distributed.init_process_group(
        BACKEND[device],
        store=store,
        rank=rank,
        world_size=world,
        timeout=default_pg_timeout,
        # as DeepSpeed has it: a rank that is alone has nobody to bind it for
        device_id=torch.device("cuda", 0) if device == "cuda" and world > 1 else None,
    )
    deepspeed.init_distributed(BACKEND[device], verbose=False)


class Trainee:
    """A policy under DeepSpeed: accumulate gradients row by row, then step once."""

    def __init__(
        self,
        model: Path,
        dtype: str,
        config: LearnerConfig,
        seed: int = 0,
        asked: Sequence[Path] = (),
    ) -> None:
        """`seed` is that of a fresh adapter; `asked` are adapters of the model, or itself, which it
        is asked as."""
        import deepspeed

        module = load_model(model, dtype)
        if config.gradient_checkpointing:
            module.gradient_checkpointing_enable()
            # which has inputs require gradients: those of a frozen tower would be computed
            module.disable_input_require_grads()
        module.train()
        if config.lora is None:
            freeze(module, config.freeze)
        else:
            for path in filter(is_adapter, asked):
                take_in(module, ANCHOR, path)
            insert(module, POLICY, config.lora, seed)
        policy = Policy(module)
        self.voices = [
            Voice(
                policy=policy, shape=shape_of(model), adapter=ANCHOR if is_adapter(path) else None
            )
            for path in asked
        ]
        trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        self._engine, *_ = deepspeed.initialize(
            model=policy, optimizer=adam(trained, config), config=deepspeed_settings(config, dtype)
        )
        self._trained = trained
        self._replicated = config.zero_stage == 0
        self._model = module
        self._adapted = config.lora is not None
        self.sharded = config.zero_stage == 3

    def __call__(self, *inputs: Any) -> tuple[Tensor, ...]:
        """The policy's forward pass."""
        outputs: tuple[Tensor, ...] = self._engine(*inputs)
        return outputs

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Accumulate one row's gradient; ranks exchange theirs on the last."""
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss, scale_wrt_gas=False)

    def step(self, learning_rate: float) -> float:
        """Apply the accumulated gradient unless it is not finite; returns its norm, unclipped."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        if self._replicated:  # DeepSpeed would clip by a norm of NaN, and then step
            gradients = [p.grad for p in self._trained if p.grad is not None]
            norm = float(torch.nn.utils.get_total_norm(gradients))
            if math.isfinite(norm):
                self._engine.step()
            return norm
        self._engine.step()  # looks at the reduced gradients' norm first, and may decline
        if not self._engine.was_step_applied():
            return math.inf
        return float(self._engine.get_global_grad_norm())

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """The Hugging Face model with every parameter that is exported present on every rank."""
        with self.gathered(list(self.parameters.values())):
            yield self._model

    @contextmanager
    def gathered(self, parameters: Sequence[torch.nn.Parameter]) -> Iterator[None]:
        """With these parameters present on every rank, until they are not wanted any more."""
        import deepspeed

        with deepspeed.zero.GatheredParameters(parameters, enabled=self.sharded):
            yield

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of each parameter, wherever its shards are."""
        return {
            name: getattr(p, "ds_numel", p.numel()) * p.element_size()
            for name, p in self.parameters.items()
        }

    @property
    def entries(self) -> dict[str, Entry]:
        """Type and whole shape of each, wherever its shards are."""
        return {
            name: (*entry(name, p)[:2], tuple(getattr(p, "ds_shape", p.shape)))
            for name, p in self.parameters.items()
        }

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What is published: the adapter where one is trained, else everything, by the names that
        released checkpoints have; between steps a sharded one is empty."""
        model = self._model
        own = parameters(model, POLICY) if self._adapted else dict(model.named_parameters())
        name_of = family_in(model.config).released_name
        return {name_of(name): parameter for name, parameter in own.items()}

    def save_shards(self, folder: Path) -> None:
        """This rank's part of optimizer and parameters."""
        self._engine.save_checkpoint(
            str(folder), tag="shards", exclude_frozen_parameters=self._adapted
        )

    def load_shards(self, folder: Path) -> None:
        """What `save_shards` wrote, on the same number of ranks."""
        loaded, _ = self._engine.load_checkpoint(
            str(folder), tag="shards", load_module_strict=not self._adapted
        )
        assert loaded is not None, f"DeepSpeed found nothing in {folder}"


def adam(parameters: Sequence[torch.nn.Parameter], config: LearnerConfig) -> torch.optim.Optimizer:
    """AdamW without decay; on the host it is DeepSpeed's, which is compiled on first use."""
    if not config.offload:
        fused = torch.cuda.is_available() or None  # or its temporaries are as large as its states
        return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=0.0, fused=fused)
    load_operator("CPUAdamBuilder")
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    numbers = {str(place): parameter.numel() for place, parameter in enumerate(parameters)}
    groups = [
        {"params": [parameters[int(place)] for place in places]}
        for places in divided(numbers, ADAM_NUMBERS)
    ]
    host: torch.optim.Optimizer = DeepSpeedCPUAdam(
        groups, lr=config.learning_rate, weight_decay=0.0
    )
    return host


def freeze(model: Any, parts: Sequence[Part]) -> None:
    """Take parts of a model out of the training."""
    family = family_in(model.config)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(family.part_of(name) not in parts)


def deepspeed_settings(config: LearnerConfig, dtype: str) -> dict[str, Any]:
    """DeepSpeed's own configuration, built from ours so that no second file can disagree."""
    zero: dict[str, Any] = {"stage": config.zero_stage}
    if config.offload:
        pinned = torch.cuda.is_available()
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": pinned}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,  # `Trainee.backward` says where a step ends
        "gradient_clipping": config.max_grad_norm,
        "bf16": {"enabled": dtype == "bfloat16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }


def non_finite(values: Tensor) -> list[bool]:
    """Of each, whether any rank holds one that is not finite; every rank gets the same answer."""
    return max_over_ranks((~torch.isfinite(values)).float()).bool().tolist()


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


def random_state() -> dict[str, Tensor]:
    """Of torch's generators in this process: dropout, and what checkpointing replays."""
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def restore_random_state(states: dict[str, Tensor]) -> None:
    """What `random_state` returned."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
