"""Makes the CPU stack importable, here and in every process started from here."""

import os
from importlib import import_module
from pathlib import Path

FOLDER = str(Path(__file__).parent)


def install() -> None:
    """Activate the torchvision fix in this process and in its children."""
    inherited = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if FOLDER not in inherited:
        os.environ["PYTHONPATH"] = os.pathsep.join([FOLDER, *inherited])
    import_module("videothinker.cpu_torch.sitecustomize")
