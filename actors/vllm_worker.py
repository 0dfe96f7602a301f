"""Runs inside vLLM's worker: replaces the weights of a live engine, exactly.

vLLM reports none of these mistakes: on the CPU the weights are prepacked, so a tied output head
stays stale unless it is packed again; a tensor that is missing from an update is no error; and both
caches go on answering with features of the old weights. Each is dealt with or checked here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.vllm_sleep import Sleep
from videothinker.errors import WeightsError

if TYPE_CHECKING:
    from videothinker.types import Route, WeightsPart


class WeightUpdate(Sleep):
    """Mixed into vLLM's worker (`worker_extension_cls`); called through `collective_rpc`."""

    model_runner: Any
    vllm_config: Any
    rank: int
    device: Any

    def replace_weights(self, version: int, parts: Sequence[WeightsPart]) -> str | None:
        """Load all parts; returns the reason why not, in which case nothing changed."""
        from videothinker.model.parts import tensors_in

        try:
            weights = dict(chain.from_iterable(tensors_in(part, version) for part in parts))
        except WeightsError as error:
            return str(error)
        fault = self._coverage_fault({name: tuple(t.shape) for name, t in weights.items()})
        if fault is None:
            self._replace(weights.items())
        return fault

    def receive_weights(self, version: int, route: Route) -> str | None:
        """Load what the learner sends; returns the reason why not, in which case nothing changed.

        Each part is loaded as soon as it was checked. Whatever is raised here leaves the engine
        with a part of the new weights.
        """
        from videothinker.model.transfer import Receiver

        if not hasattr(self, "_receiver"):
            self._receiver = Receiver(self.rank, self.device)
        try:
            receiving = self._receiver.begin(route, version)
        except WeightsError as error:
            return str(error)
        fault = self._coverage_fault(receiving.shapes)
        if fault is None:
            self._replace(receiving.tensors())
        else:
            receiving.refuse(fault)
        return fault

    def flatten_features(self) -> None:
        """Some of vLLM's models have the features of videos of several lengths with one axis more,
        with which vLLM then fails."""
        model = self.model_runner.model
        embed = model.embed_multimodal

        def flat(**inputs: Any) -> list[Any]:
            return [features.flatten(0, -2) for features in embed(**inputs) or ()]

        model.embed_multimodal = flat

    def _coverage_fault(self, shapes: Shapes) -> str | None:
        """What weights of these shapes lack of what the engine was started from."""
        rename = self.model_runner.model.hf_to_vllm_mapper.apply_list
        checkpoint = Path(self.vllm_config.model_config.model)
        return coverage_fault(
            expected=renamed(shapes_on_disk(checkpoint), rename), found=renamed(shapes, rename)
        )

    def _replace(self, weights: Iterable[tuple[str, Any]]) -> None:
        self._begin_replacing()
        self._replace_some(weights)
        self._finish_replacing()

    def _begin_replacing(self) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        with self._changing() as model:
            if self._packs:
                pack_at_use(model.modules())
            initialize_layerwise_reload(model)

    def _replace_some(self, weights: Iterable[tuple[str, Any]]) -> None:
        with self._changing() as model:
            model.load_weights(iter(weights))

    def _finish_replacing(self) -> None:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        with self._changing() as model:
            finalize_layerwise_reload(model, self.vllm_config.model_config)
            if self._packs:
                pack_at_use(model.modules())

    @property
    def _packs(self) -> bool:
        """Whether this device multiplies by weights that it packed before."""
        return bool(self.vllm_config.device_config.device.type == "cpu")

    @contextmanager
    def _changing(self) -> Iterator[Any]:
        import torch
        from vllm.config import set_current_vllm_config

        with torch.inference_mode(), set_current_vllm_config(self.vllm_config):
            yield self.model_runner.model


Shapes = dict[str, tuple[int, ...]]
Tensors = Counter[tuple[str, tuple[int, ...]]]


def shapes_on_disk(checkpoint: Path) -> Shapes:
    """Every tensor that the engine was started from.

    The engine's own parameters cannot tell: it fuses projections, and a fused one counts as loaded
    when any of its parts was.
    """
    from safetensors import safe_open

    shapes: Shapes = {}
    for file in sorted(checkpoint.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                shapes[name] = tuple(tensors.get_slice(name).get_shape())
    return shapes


def renamed(shapes: Shapes, rename: Callable[[list[str]], list[str]]) -> Tensors:
    """The same under vLLM's names, whichever generation of transformers wrote them.

    Counted, because two tensors that vLLM fuses get one name.
    """
    return Counter((rename([name])[0], shape) for name, shape in shapes.items())


def coverage_fault(expected: Tensors, found: Tensors) -> str | None:
    """What an update lacks, or has too much of or in another shape; None if it fits."""
    for kind, differing in (("missing", expected - found), ("unknown", found - expected)):
        if differing:
            name, shape = min(differing)
            return f"{differing.total()} of {expected.total()} tensors {kind}, first {name} {shape}"
    return None


def pack_at_use(modules: Iterable[Any]) -> None:
    """Let go of packed copies of weights that stay in use unpacked, such as a tied head's: whatever
    multiplies by one packs it then, and what only looks its rows up never does.
    """
    for module in modules:
        weight = getattr(module, "weight", None)
        if hasattr(module, "cpu_linear") and weight is not None and weight.numel():
            module.cpu_linear = partial(_packed_now, module)


def _packed_now(module: Any, x: Any, weight: Any, bias: Any) -> Any:
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    dispatch_cpu_unquantized_gemm(module, remove_weight=False)
    return module.cpu_linear(x, weight, bias)
