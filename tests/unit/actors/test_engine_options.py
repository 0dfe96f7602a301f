from __future__ import annotations

from pathlib import Path

import pytest

from actors.vllm_engine import engine_options
from videothinker.config.settings import Device, RolloutConfig
from videothinker.model.shape import DECODED_AT_ONCE, PREFILL_AT_ONCE


@pytest.mark.parametrize(("device", "share"), [("cpu", 0.0), ("cuda", 0.5)])
def test_one_step_takes_in_what_the_plan_counts_whatever_the_machine(
    device: Device, share: float
) -> None:
    """vLLM's own limits follow the card, and it would keep gigabytes of pixels that come once."""
    config = RolloutConfig(max_model_len=512)
    options = engine_options(Path("model"), "float32", config, device, share)
    assert options["max_num_seqs"] == DECODED_AT_ONCE
    assert options["max_num_batched_tokens"] == PREFILL_AT_ONCE[device]
    assert options["mm_processor_cache_gb"] == 0
    assert options["skip_mm_profiling"] is True
    assert options.get("gpu_memory_utilization", 0.0) == share
    assert "enable_sleep_mode" not in options


@pytest.mark.parametrize(("device", "asked"), [("cpu", {}), ("cuda", {"enable_sleep_mode": True})])
def test_vllm_is_asked_for_memory_that_sleeps_where_it_has_such(
    device: Device, asked: dict[str, bool]
) -> None:
    config = RolloutConfig(max_model_len=512, sleep=True)
    options = engine_options(Path("model"), "float32", config, device)
    assert {key: options[key] for key in options if "sleep" in key} == asked
