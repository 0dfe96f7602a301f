"""DeepSpeed's Adam of an offloaded optimizer, as far as it is ours to call."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from learner import deepspeed_engine
from videothinker.config.learner import LearnerConfig


def test_the_host_s_adam_is_called_for_so_many_parameters_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In each call it keeps the interpreter to itself: nobody can tell that the process lives."""
    monkeypatch.setattr(deepspeed_engine, "ADAM_NUMBERS", 4)
    monkeypatch.setattr(deepspeed_engine, "load_operator", lambda name: None)
    monkeypatch.setattr("deepspeed.ops.adam.DeepSpeedCPUAdam", lambda groups, **_: groups)
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 1, 6, 2, 2)]
    groups: Any = deepspeed_engine.adam(parameters, LearnerConfig(offload=True))
    assert [[p.numel() for p in group["params"]] for group in groups] == [[3, 1], [6], [2, 2]]
