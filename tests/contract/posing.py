"""`python tests/contract/posing.py CARD DTYPE`: vLLM's settings for our options, as if on a card.

A process for each card, because vLLM asks once and remembers. It prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from contract.cards import CARDS, HEAD, VISION_HEAD, Card

from actors.vllm_engine import ENGINE_ENVIRONMENT, engine_options
from videothinker.config.settings import DType, RolloutConfig

MODEL = Path(__file__).parents[2] / "videothinker/mini/shipped"


def pose_as(card: Card) -> None:
    """Let vLLM find this card; it must not have been imported yet."""
    # nothing in sight, not nothing there: vLLM then believes that Triton will find its driver
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import vllm.platforms
    from vllm.platforms import cuda
    from vllm.platforms.interface import DeviceCapability

    answers = {
        "get_device_capability": DeviceCapability(*card.capability),
        "get_device_name": card.name,
        "get_device_total_memory": card.gib * 2**30,
        "num_compute_units": card.units,
        "device_count": 1,
    }
    posed = {name: saying(answer) for name, answer in answers.items()}
    vllm.platforms._current_platform = type("Posed", (cuda.NonNvmlCudaPlatform,), posed)()


def saying(answer: Any) -> staticmethod[..., Any]:
    """Whatever it is asked."""
    return staticmethod(lambda *_, **__: answer)


def settings(dtype: DType) -> dict[str, Any]:
    """What vLLM makes of our options."""
    from vllm import EngineArgs
    from vllm.config import set_current_vllm_config
    from vllm.platforms import current_platform
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.attention.backends.fa_utils import get_flash_attn_version
    from vllm.v1.attention.selector import get_attn_backend

    options = engine_options(MODEL, dtype, RolloutConfig(max_model_len=4096), "cuda", 0.5)
    config = EngineArgs(**options).create_engine_config(UsageContext.LLM_CLASS)
    scheduler, compilation = config.scheduler_config, config.compilation_config
    kind = config.model_config.dtype
    with set_current_vllm_config(config):
        attention = get_attn_backend(HEAD, kind, None).get_name()
        vision = current_platform.get_vit_attn_backend(VISION_HEAD, kind).name
        flash = get_flash_attn_version()
    return {
        "device": str(config.device_config.device),
        "worker": config.parallel_config.worker_cls,
        "executor": config.parallel_config.distributed_executor_backend,
        "scheduler": scheduler.get_scheduler_cls().__name__,
        "model runner V2": config.use_v2_model_runner,
        "async scheduling": scheduler.async_scheduling,
        "chunked prefill": scheduler.enable_chunked_prefill,
        "prefix caching": config.cache_config.enable_prefix_caching,
        "block": config.cache_config.block_size,
        "compile mode": compilation.mode.name,
        "cudagraph mode": compilation.cudagraph_mode.name,
        "largest cudagraph": compilation.max_cudagraph_capture_size,
        "attention": attention,
        "vision attention": vision,
        "flash": flash,
        "completions at once": scheduler.max_num_seqs,
        "tokens at once": scheduler.max_num_batched_tokens,
    }


if __name__ == "__main__":
    os.environ.update(ENGINE_ENVIRONMENT)
    pose_as(CARDS[sys.argv[1]])
    found = [settings(dtype) for dtype in sys.argv[2:]]
    json.dump(found, sys.stdout)
