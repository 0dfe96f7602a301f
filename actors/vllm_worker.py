"""Runs inside vLLM's worker: replaces the weights of a live engine, exactly.

vLLM reports none of these mistakes: on the CPU the weights are prepacked, so a tied output head
stays stale unless it is packed again; a tensor that is missing from an update is no error; and both
caches go on answering with features of the old weights. Each is dealt with or checked here.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


class WeightUpdate:
    """Mixed into vLLM's worker (`worker_extension_cls`); called through `collective_rpc`."""

    model_runner: Any
    vllm_config: Any

    def replace_weights(self, payload: np.ndarray, digest: str) -> list[str]:
        """Load a safetensors block; returns the parameters that the update did not cover."""
        import safetensors.torch
        import torch
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.reload import (
            finalize_layerwise_reload,
            initialize_layerwise_reload,
        )

        block = payload.tobytes()
        if hashlib.sha256(block).hexdigest() != digest:
            return ["(the block's checksum differs from what the learner published)"]
        weights = safetensors.torch.load(block)
        model = self.model_runner.model
        expected = {name for name, _ in model.named_parameters()}
        with torch.inference_mode(), set_current_vllm_config(self.vllm_config):
            initialize_layerwise_reload(model)
            loaded = model.load_weights(iter(weights.items()))
            finalize_layerwise_reload(model, self.vllm_config.model_config)
            if self.vllm_config.device_config.device.type == "cpu":
                repack_shared_weights(model)
        return sorted(expected - set(loaded))


def repack_shared_weights(model: Any) -> None:
    """Refresh the prepacked copies of weights that stay in use unpacked, such as a tied head."""
    from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

    for module in model.modules():
        weight = getattr(module, "weight", None)
        if hasattr(module, "cpu_linear") and weight is not None and weight.numel():
            dispatch_cpu_unquantized_gemm(module, remove_weight=False)
