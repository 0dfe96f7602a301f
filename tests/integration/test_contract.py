"""What we rely on in other packages is so, for CPUs; `make contract` asks those for GPUs."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from contract.checking import faults
from contract.table import table

from actors.vllm_engine import engine_options
from learner.deepspeed_engine import deepspeed_settings
from videothinker.config.learner import LearnerConfig
from videothinker.config.settings import RolloutConfig
from videothinker.process.gpus import cuda_of_torch

NVML = pytest.mark.skipif(find_spec("pynvml") is None, reason="comes with the packages for GPUs")
ON_GPUS = cuda_of_torch() is not None
"""Whether the packages are those; NCCL is in no others."""
PACKAGES = ("torch", "transformers", "deepspeed", "vllm", pytest.param("pynvml", marks=NVML))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_the_table_is_there_and_takes_what_we_give(package: str) -> None:
    names = [
        name
        for name in table()
        if name.path.startswith(f"{package}.") and (ON_GPUS or "NCCL" not in name.path)
    ]
    assert names
    assert faults(names) == []


def test_vllm_withholds_pixels_by_the_function_that_we_replace() -> None:
    """`keep_pixels` puts another one into the module that calls it, which gets the pixels first."""
    from vllm.v1.core.sched import output

    nodes = ast.walk(ast.parse(inspect.getsource(output)))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    [call] = [one for one in calls if ast.unparse(one.func) == "strip_covered_mm_data"]
    assert ast.unparse(call.args[0]) == "request.mm_features"


def test_vllm_scores_the_vocabulary_in_32_bits_as_the_learner_does(mini_base: Path) -> None:
    from vllm import EngineArgs

    options = engine_options(mini_base, "bfloat16", RolloutConfig(max_model_len=512), "cpu")
    model = EngineArgs(**options).create_model_config()
    assert (model.dtype, model.head_dtype) == (torch.bfloat16, torch.float32)


def test_deepspeed_reads_every_setting_that_we_give_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepspeed.runtime.config import DeepSpeedConfig

    monkeypatch.setenv("WORLD_SIZE", "1")
    config = LearnerConfig(zero_stage=2, offload=True, max_grad_norm=0.7)
    settings = deepspeed_settings(config, "bfloat16")
    read = DeepSpeedConfig(settings)
    assert read.zero_config.stage == 2
    assert read.zero_config.offload_optimizer.device == "cpu"
    assert read.zero_config.offload_optimizer.pin_memory is False
    assert read.gradient_clipping == 0.7
    assert read.bfloat16_config.enabled
    assert read.train_micro_batch_size_per_gpu == read.gradient_accumulation_steps == 1
    assert read.zero_allow_untested_optimizer
