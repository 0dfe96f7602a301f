"""Lets a torchvision built for CUDA import beside a CPU build of torch.

Python runs this file at start-up in every process that has this folder on PYTHONPATH, and in every
process of an environment that `make setup` made, which has a copy. vLLM inspects model classes in
fresh subprocesses, so a call in our own code would come too late there. Until torchvision is
imported nothing happens: then, its own library having been looked for, the two operator schemas
that the CPU build of torch lacks are declared. Nothing here calls them.
"""

import sys

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class DeclareOperators:
    """Declares the missing operators just before torchvision says how they behave."""

    declared: object = None
    """Kept, since the operators go with the object that declared them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Finds nothing itself; the search goes on."""
        if name == "torchvision._meta_registrations":
            import torch

            # beside a CUDA build it is a mismatch that should be seen
            if not torch.version.cuda and not hasattr(torch.ops.torchvision, "nms"):
                library = torch.library.Library("torchvision", "DEF")
                for operator in ("nms", "qnms"):
                    library.define(operator + SCHEMA)
                DeclareOperators.declared = library


# by name, since a copy of this file may have been run before; no base class, since importing one
# takes longer than all of this
if not any(type(finder).__name__ == "DeclareOperators" for finder in sys.meta_path):
    sys.meta_path.insert(0, DeclareOperators())
