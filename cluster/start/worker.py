"""What every process of a run does before anything else."""

from __future__ import annotations

import gc

import ray

from videothinker import cpu_torch
from videothinker.process.address import stay_on
from videothinker.process.orphan import end_with_parent

GARBAGE = 100_000
"""Objects more than before that make the collector look. What the libraries make when they are
imported stays; going through it again and again was a tenth of a start."""


def begin() -> None:
    """Ray calls it in each worker that it starts, on whichever machine.

    The CPU stack is made importable by this machine's own copy of our code: the driver's paths are
    in PYTHONPATH too, and may not exist here.
    """
    gc.set_threshold(GARBAGE)
    end_with_parent()
    cpu_torch.install()
    stay_on(ray.util.get_node_ip_address())
