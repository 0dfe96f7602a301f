"""Lets a torchvision built for CUDA import beside a CPU build of torch.

Python runs this file at start-up in every process that has this folder on PYTHONPATH; vLLM inspects
model classes in fresh subprocesses, so a call in our own code would come too late there. It costs
nothing until torchvision is imported: then the two operator schemas that the CPU build of torch
lacks are declared first. Nothing here calls them.
"""

import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class DeclareOperators(MetaPathFinder):
    """Declares the missing operators just before torchvision is first looked for."""

    declared: object = None
    """Kept, since the operators go with the object that declared them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Finds nothing itself; the search goes on."""
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            if not torch.version.cuda and find_spec("torchvision"):
                library = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    library.define(operator + _SCHEMA)
                DeclareOperators.declared = library


if "torchvision" not in sys.modules:
    sys.meta_path.insert(0, DeclareOperators())
