"""Runs inside vLLM's worker: an adapter is what comes, the weights stay those of the checkpoint.

request    beside the weights: vLLM copies it over the one before, in the same place
merged     added to the weights, which come from the checkpoint again each time: nothing is
           subtracted, so that no rounding is left of what was there before
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from actors.rank_worker import Rank
from actors.vllm_worker import Shapes, Tensors, WeightUpdate, coverage_fault, shapes_on_disk
from videothinker.config.lora import BESIDE, LoraConfig
from videothinker.config.settings import Device, RolloutConfig, adapter_way

NAME, NUMBER = "policy", 1
"""Of the only adapter, as requests name it."""
LANGUAGE = "language_model."
"""How the language model's tensors begin, by vLLM's names."""


def adapter_options(
    config: RolloutConfig, lora: LoraConfig | None, device: Device
) -> dict[str, Any]:
    """What vLLM is told beside the options of any engine, so that it has room for an adapter beside
    its weights."""
    if lora is None or adapter_way(config, lora, device) == "merged":
        return {}
    room = next(rank for rank in BESIDE if rank >= lora.rank)
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": room}


class AdapterUpdate(WeightUpdate):
    """What `WeightUpdate` does with weights, done with an adapter where that is what comes.

    Every engine's worker has it: vLLM changes its own class, so that a process has one kind alone.
    """

    add_lora: Any
    _lora: LoraConfig | None = None
    _merges = False

    def expect_adapters(self, lora: LoraConfig, merged: bool) -> None:
        """Of this kind are those that will come."""
        self._lora, self._merges = lora, merged
        base = {self._renamed(name): shape for name, shape in self._on_disk().items()}
        self._expected = adapter_shapes(base, lora)

    def _coverage_fault(self, shapes: Shapes) -> str | None:
        if self._lora is None:
            return super()._coverage_fault(shapes)
        found = Counter((self._renamed(name), shape) for name, shape in shapes.items())
        return coverage_fault(expected=self._expected, found=found)

    def _begin_replacing(self) -> None:
        self._coming: dict[str, Any] = {}
        if self._lora is None:
            super()._begin_replacing()

    def _replace_some(self, weights: Iterable[tuple[str, Any]]) -> None:
        if self._lora is None:
            super()._replace_some(weights)
        else:
            self._coming |= {name: tensor.clone() for name, tensor in weights}

    def _finish_replacing(self) -> None:
        adapter, lora, self._coming = self._coming, self._lora, {}
        if lora is None:
            super()._finish_replacing()
        elif self._merges:
            super()._begin_replacing()
            super()._replace_some(self._sums(adapter, lora.scale))
            super()._finish_replacing()
        else:
            self._put_beside(adapter, lora)

    def _put_beside(self, adapter: Mapping[str, Any], lora: LoraConfig) -> None:
        from vllm.lora.request import LoRARequest

        from videothinker.model.adapters import WEIGHTS, write_adapter

        for name, tensor in adapter.items():
            if ".lora_B." in name:  # vLLM would do it in what it has mapped, a fault for each page
                tensor.mul_(lora.scale)
        settings = {"r": lora.rank, "lora_alpha": lora.rank, "target_modules": [*lora.targets]}
        with TemporaryDirectory() as folder, file_in_memory() as file, self._changing():
            (Path(folder) / WEIGHTS).symlink_to(file)
            write_adapter(Path(folder), settings, adapter)
            self.add_lora(LoRARequest(NAME, NUMBER, folder, load_inplace=True))

    def _sums(self, adapter: Mapping[str, Any], scale: float) -> Iterator[tuple[str, Any]]:
        """The checkpoint's tensors, with the adapter's product added where it has one."""
        from safetensors import safe_open

        from videothinker.model.adapters import added

        low = {self._renamed(name): tensor.to(self.device) for name, tensor in adapter.items()}
        for file in sorted(self._checkpoint.glob("*.safetensors")):
            with safe_open(file, "pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a dict)
                    tensor, stem = tensors.get_tensor(name), self._renamed(name)[: -len(".weight")]
                    if f"{stem}.lora_A.weight" in low:
                        narrow, wide = (low[f"{stem}.lora_{one}.weight"] for one in "AB")
                        tensor = added(tensor.to(self.device), narrow, wide, scale)
                    yield name, tensor

    def _renamed(self, name: str) -> str:
        """As vLLM calls it, before it fuses any."""
        mapper = self.model_runner.model.hf_to_vllm_mapper.get_rename_mapper()
        renamed: str = mapper.apply_list([name])[0]
        return renamed

    def _on_disk(self) -> Shapes:
        return shapes_on_disk(self._checkpoint)

    @property
    def _checkpoint(self) -> Path:
        return Path(self.vllm_config.model_config.model)


@contextmanager
def file_in_memory() -> Iterator[Path]:
    """One that no disk sees, and that is gone with its process."""
    number = os.memfd_create("adapter")
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{number}")
    finally:
        os.close(number)


class AdapterRank(AdapterUpdate, Rank):
    """The same in each process of an engine over several devices."""


def adapter_shapes(base: Shapes, lora: LoraConfig) -> Tensors:
    """Every tensor of an adapter beside a model's tensors, by vLLM's names."""
    shapes: Tensors = Counter()
    for name, shape in base.items():
        stem, _, kind = name.rpartition(".")
        if kind != "weight" or len(shape) != 2 or not adapted(stem, lora):
            continue
        wide, narrow = shape
        shapes[f"{stem}.lora_A.weight", (lora.rank, narrow)] += 1
        shapes[f"{stem}.lora_B.weight", (wide, lora.rank)] += 1
    return shapes


def adapted(stem: str, lora: LoraConfig) -> bool:
    """Whether an adapter is beside this matrix; tables of places are looked up, not multiplied."""
    if stem.startswith(LANGUAGE):
        return stem.rpartition(".")[2] in lora.targets
    return lora.vision and "embed" not in stem
