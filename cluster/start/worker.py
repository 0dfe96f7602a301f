"""What every process of a run does before anything else."""

from __future__ import annotations

import ray

from videothinker import cpu_torch
from videothinker.process.address import stay_on
from videothinker.process.orphan import end_with_parent


def begin() -> None:
    """Ray calls it in each worker that it starts, on whichever machine.

    The CPU stack is made importable by this machine's own copy of our code: the driver's paths are
    in PYTHONPATH too, and may not exist here.
    """
    end_with_parent()
    cpu_torch.install()
    stay_on(ray.util.get_node_ip_address())
