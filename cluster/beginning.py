"""What a worker's process does before anything else."""

from cluster.orphan import end_with_parent
from videothinker import cpu_torch


def begin() -> None:
    """End with the node, and import the CPU stack: with this machine's own copy of our code.

    The driver's paths are in PYTHONPATH too, and may not exist here.
    """
    end_with_parent()
    cpu_torch.install()
