"""What DeepSpeed holds for one rank, in bytes by type: run as a program, prints JSON.

python learner_memory.py MODEL ZERO_STAGE DTYPE OFFLOAD RANK, of an adapter, or 0
"""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from learner.deepspeed_engine import Trainee, connect, meeting_point
from videothinker.config.learner import LearnerConfig
from videothinker.process.address import LOOPBACK
from videothinker.types import Prompt, Question, Shown


def held() -> Counter[str]:
    """Bytes of every tensor that exists, gradients included."""
    gc.collect()
    storages: dict[int, tuple[str, int]] = {}
    for found in gc.get_objects():
        if type(found) in (torch.Tensor, torch.nn.Parameter):
            for tensor in (found, found.grad if found.is_leaf else None):
                if tensor is not None:
                    storage = tensor.untyped_storage()
                    kind = str(tensor.dtype).removeprefix("torch.")
                    storages[storage.data_ptr()] = (kind, storage.nbytes())
    total: Counter[str] = Counter()
    for kind, size in storages.values():
        total[kind] += size
    return total


def question(config: object) -> Prompt:
    """One visual token and some text."""
    vision = [config.vision_start_token_id, config.video_token_id]  # type: ignore[attr-defined]
    tokens = np.array([*range(10, 30), *vision])
    return Prompt(
        question=Question(id="q", video="v", text="?", options=(), answer="A"),
        token_ids=tokens,
        next_position=len(tokens),
        pixel_values=np.zeros((4, 1176), np.float32),
        shown=(Shown(medium="video", grid=(1, 2, 2), seconds_per_grid=1.0, digest="d"),),
    )


def main(model: str, zero_stage: str, dtype: str, offload: str, rank: str) -> None:
    connect(0, 1, meeting_point(LOOPBACK), "cpu")
    settings: dict[str, object] = {"zero_stage": int(zero_stage), "offload": offload == "True"}
    if int(rank):
        settings["lora"] = {"rank": int(rank)}
    trainee = Trainee(Path(model), dtype, LearnerConfig.model_validate(settings))
    with trainee.whole() as whole:
        parameters = sum(parameter.numel() for parameter in whole.parameters())
        trained = sum(one.numel() for one in whole.parameters() if one.requires_grad)
        prompt = question(whole.config)
    for last in (False, True):
        logprobs, _ = trainee([(prompt, [np.arange(10, 20)] * 2)], 1.0)
        trainee.backward(-logprobs.mean(), last=last)
        del logprobs
    after_backward = held()
    trainee.step(1e-6)
    result = {"parameters": parameters, "trained": trained}
    result |= {"backward": after_backward, "step": held()}
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
