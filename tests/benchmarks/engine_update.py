"""New weights of the 3B's size in a live engine: an adapter beside its own, and all of them.

    PYTHONPATH=.:tests python tests/benchmarks/engine_update.py FOLDER [--rank 16] [--rounds 5]

Checksums on both sides and the engine's end, in one process; `sync.py` has the way through the
object store. The model is written to FOLDER first, 7.5 GB with random weights; twice that of memory
is needed. Progress goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch
from full_model import write_full_model
from safetensors.torch import load_file
from torch import Tensor

from actors.vllm_engine import VllmEngine
from actors.vllm_worker import shapes_on_disk
from videothinker.config.lora import LoraConfig
from videothinker.config.settings import RolloutConfig
from videothinker.model.parts import as_part, divided
from videothinker.types import WeightsPart


def an_adapter(model: Path, lora: LoraConfig) -> dict[str, Tensor]:
    """Of its language model, by the names of its checkpoint and of its type."""
    found = {}
    for name, shape in shapes_on_disk(model).items():
        stem, _, kind = name.rpartition(".")
        if kind == "weight" and stem.rpartition(".")[2] in lora.targets and "visual" not in stem:
            wide, narrow = shape
            found[f"{stem}.lora_A.weight"] = torch.randn(lora.rank, narrow).bfloat16()
            found[f"{stem}.lora_B.weight"] = torch.randn(wide, lora.rank).bfloat16()
    return found


def whole(model: Path) -> dict[str, Tensor]:
    """All of its weights, as they are on the disk."""
    files = sorted(model.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def updates(model: Path, rounds: int, lora: LoraConfig | None) -> dict[str, Any]:
    """Median, least and most seconds of an update; the first, which is slower, is not counted."""
    tensors = an_adapter(model, lora) if lora else whole(model)
    config = RolloutConfig(max_model_len=512, cache_gb=0.1, adapters="request")
    engine = VllmEngine(model, "bfloat16", config, "cpu", lora=lora)
    taken = []
    for _ in range(rounds + 1):
        version = engine.version + 1
        started = time.perf_counter()
        engine.load(version, parts(version, tensors))
        taken.append(time.perf_counter() - started)
        sys.stderr.write(f"{taken[-1]:.3f} s\n")
    taken = taken[1:]
    return {
        "bytes": sum(tensor.nbytes for tensor in tensors.values()),
        "tensors": len(tensors),
        "seconds": statistics.median(taken),
        "least_and_most": [min(taken), max(taken)],
    }


def parts(version: int, tensors: Mapping[str, Tensor]) -> list[WeightsPart]:
    """As the learner divides them."""
    names = divided({name: tensor.nbytes for name, tensor in tensors.items()})
    return [as_part(version, [(name, tensors[name]) for name in part]) for part in names]


def main() -> None:
    """Both in turn, each in an engine of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model, lora = arguments.folder.resolve() / "whole", LoraConfig(rank=arguments.rank)
    if not model.is_dir():
        write_full_model(model)
    found = []
    for kind in (lora, None):  # in a process of its own, whose memory goes with it
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            found.append(process.submit(updates, model, arguments.rounds, kind).result())
    adapter, everything = found
    part = {name: adapter[name] / everything[name] for name in ("bytes", "seconds")}
    print(json.dumps({"adapter": adapter, "whole": everything, "adapter_over_whole": part}))


if __name__ == "__main__":
    main()
