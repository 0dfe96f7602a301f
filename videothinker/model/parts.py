"""The policy's weights in parts, so that nowhere all of it lies a second time on its way.

A part holds its tensors where they lie: nothing is copied until the part is sent, nor until what
was received is loaded. Each tensor has a checksum, taken before its bytes travel and compared when
they are used; a cryptographic hash would take longer than the way itself.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from videothinker.errors import WeightsError
from videothinker.types import StoredTensor, WeightsPart

PART_BYTES = 2**26
"""Of a part, at least; only a single larger tensor makes it much more than that."""
ROW = 1024
"""Words of eight bytes that are summed up to one."""


def divided(sizes: Mapping[str, int], part: int = PART_BYTES) -> list[list[str]]:
    """The names of each part's tensors, in the order given; sizes in bytes."""
    parts: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if room <= 0:
            parts.append([])
            room = part
        parts[-1].append(name)
        room -= size
    return parts


def as_part(
    version: int, tensors: Iterable[tuple[str, Tensor]], *, copied: bool = False
) -> WeightsPart:
    """Some tensors as what travels; `copied` where they do not stay as they are until then."""
    stored = {name: _stored(tensor.detach(), copied) for name, tensor in tensors}
    return WeightsPart(version=version, tensors=stored)


def tensors_in(part: WeightsPart, version: int) -> Iterator[tuple[str, Tensor]]:
    """A part's tensors in its own memory, each once its checksum fits: not to be written to."""
    if part.version != version:
        raise WeightsError(f"a part is of version {part.version}")
    for name, stored in part.tensors.items():
        if checksum(stored.content) != stored.checksum:
            raise WeightsError(f"the checksum of {name} is not the published one")
        yield name, _tensor(stored)


def checksum(content: np.ndarray) -> str:
    """Against damage, not against malice: sums of 8 KiB each, at the speed of memory, and a hash of
    these.
    """
    whole = len(content) // (8 * ROW) * 8 * ROW
    sums = content[:whole].view(np.int64).reshape(-1, ROW).sum(axis=1)
    digest = hashlib.blake2b(sums.tobytes(), digest_size=16)
    digest.update(content[whole:].tobytes())
    return digest.hexdigest()


def _stored(tensor: Tensor, copied: bool) -> StoredTensor:
    host = tensor.to("cpu", copy=copied).contiguous()
    content = host.flatten().view(torch.uint8).numpy()
    return StoredTensor(
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        content=content,
        checksum=checksum(content),
    )


def _tensor(stored: StoredTensor) -> Tensor:
    dtype: torch.dtype = getattr(torch, stored.dtype)
    if not len(stored.content):
        return torch.empty(stored.shape, dtype=dtype)
    with warnings.catch_warnings():  # what lies in the object store cannot be written to
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        raw = torch.frombuffer(stored.content.data, dtype=torch.uint8)
    return raw.view(dtype).view(stored.shape)
