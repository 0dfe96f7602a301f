"""The policy's weights as one block of memory, in the layout of a safetensors file.

A parameter is copied once into the block, and read from it where it lies: the library's own calls
would copy everything three times, and a cryptographic hash takes longer than all of that.
"""

from __future__ import annotations

import hashlib
import json
import struct
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LENGTH = struct.Struct("<Q")
ALIGNED = 64
"""Bytes; so that every tensor can be read in place."""
ROW = 1024
"""Words of eight bytes that are summed up to one."""


def pack(tensors: Iterable[tuple[str, Tensor]]) -> np.ndarray:
    """Every tensor once, uint8; from whichever device they are on."""
    ordered = sorted(tensors, key=lambda item: -item[1].element_size())
    head, end = _head(ordered)
    block = np.empty(len(head) + end, np.uint8)
    block[: len(head)] = np.frombuffer(head, np.uint8)
    places = tensors_in(block)
    for name, tensor in ordered:
        places[name].copy_(tensor)
    return block


def tensors_in(block: np.ndarray) -> dict[str, Tensor]:
    """The tensors of a block, in its own memory: not to be written to, nor kept longer than it."""
    start = LENGTH.size + LENGTH.unpack_from(block.data)[0]
    head: Mapping[str, Any] = json.loads(block[LENGTH.size : start].tobytes())
    with warnings.catch_warnings():  # a block from the object store cannot be written to
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        return {name: _tensor(block, start, entry) for name, entry in head.items()}


def checksum(block: np.ndarray) -> str:
    """Against damage, not against malice: sums of 8 KiB each, at the speed of memory, and a hash of
    these.
    """
    whole = len(block) // (8 * ROW) * 8 * ROW
    sums = block[:whole].view(np.int64).reshape(-1, ROW).sum(axis=1)
    digest = hashlib.blake2b(sums.tobytes(), digest_size=16)
    digest.update(block[whole:].tobytes())
    return digest.hexdigest()


def _head(tensors: Iterable[tuple[str, Tensor]]) -> tuple[bytes, int]:
    """The file's head, and how many bytes follow it."""
    entries, end = {}, 0
    for name, tensor in tensors:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries).encode()
    text += b" " * (-(LENGTH.size + len(text)) % ALIGNED)
    return LENGTH.pack(len(text)) + text, end


def _tensor(block: np.ndarray, start: int, entry: Mapping[str, Any]) -> Tensor:
    begin, end = entry["data_offsets"]
    dtype = DTYPES[entry["dtype"]]
    if begin == end:
        return torch.empty(entry["shape"], dtype=dtype)
    raw = torch.frombuffer(block.data, dtype=torch.uint8, offset=start + begin, count=end - begin)
    return raw.view(dtype).view(entry["shape"])
