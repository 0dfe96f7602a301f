from __future__ import annotations

import torch

from learner.deepspeed_engine import random_state, restore_random_state


def test_a_restored_generator_draws_again_what_it_drew_after_saving() -> None:
    states = random_state()
    first = torch.rand(4)
    assert not torch.equal(torch.rand(4), first)
    restore_random_state(states)
    assert torch.equal(torch.rand(4), first)
