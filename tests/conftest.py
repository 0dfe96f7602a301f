"""Every test process gets what the command line sets up for itself."""

import os

# Before anything imports torch: two processes with a thread per core each are slower than one.
os.environ["OMP_NUM_THREADS"] = "1"

from videothinker import cpu_torch

cpu_torch.install()
