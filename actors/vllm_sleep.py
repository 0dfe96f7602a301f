"""Runs inside vLLM's worker: lets go of an engine's memory, and takes it back empty.

    fall_asleep --> no weights, no cache --> awaken("weights") --> a version is loaded
                                             awaken("kv_cache") --> it may sample

On a GPU that is vLLM's own sleep, which leaves addresses as they are, so captured graphs stay
valid. On a CPU vLLM has none: the same tensors give their pages back to the system there, so that
what is tested without a GPU is the same states in the same order.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable
from typing import Any, Literal

from videothinker.errors import WeightsError

DISCARDED = 2
"""vLLM's level at which weights are not kept anywhere; its model's buffers are."""
Tag = Literal["weights", "kv_cache"]


class Sleep:
    """Mixed into vLLM's worker with `WeightUpdate`; called through `collective_rpc`."""

    model_runner: Any
    device: Any
    sleep: Any
    wake_up: Any

    def fall_asleep(self) -> None:
        """Let go of weights and cache. Nothing may be under way, and nothing asked until both are
        back and new weights were loaded between.
        """
        if self.device.type != "cpu":
            self.sleep(level=DISCARDED)
            return
        model = self.model_runner.model
        self._kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
        unpack(model.modules())
        for tensor in (*model.parameters(), *model.buffers(), *self.model_runner.kv_caches):
            give_back(tensor.untyped_storage())

    def awaken(self, tag: Tag) -> None:
        """Have memory of this kind again: of the weights only the buffers are what they were, the
        cache is empty.
        """
        import torch

        runner = self.model_runner
        with torch.inference_mode():
            if self.device.type != "cpu":
                self.wake_up([tag])
            elif tag == "weights":
                for name, buffer in runner.model.named_buffers():
                    buffer.copy_(self._kept.pop(name))
            for tensor in scratch(runner) if tag == "weights" else runner.kv_caches:
                tensor.zero_()  # memory that is mapped anew may hold anything


def scratch(runner: Any) -> list[Any]:
    """What vLLM's newer runner keeps where weights are and buffers are not: positions, of which
    those beyond a step's last token are looked up as well.
    """
    rope = getattr(getattr(runner, "model_state", None), "rope_state", None)
    return [] if rope is None else [rope.positions]


def unpack(modules: Iterable[Any]) -> None:
    """Drop weights that were prepacked for a CPU: loading packs those that come."""
    for module in modules:
        if hasattr(module, "cpu_linear"):
            module.cpu_linear = asleep


def asleep(*_: Any) -> Any:
    """In the place of a prepacked layer."""
    raise WeightsError("the engine was asked while it slept; load weights first")


def give_back(storage: Any) -> None:
    """The whole pages of a storage to the system, from which they come back as zeros; at either end
    of it, where others share a page, zeros are written.
    """
    import torch

    start, page = storage.data_ptr(), mmap.PAGESIZE
    end = start + storage.nbytes()
    first, last = -(-start // page) * page, end // page * page
    content = torch.empty(0, dtype=torch.uint8).set_(storage)
    if first >= last:
        content.zero_()
        return
    content[: first - start] = 0
    content[last - start :] = 0
    libc = ctypes.CDLL(None, use_errno=True)
    pages = ctypes.c_void_p(first), ctypes.c_size_t(last - first)
    if libc.madvise(*pages, mmap.MADV_DONTNEED):
        raise OSError(ctypes.get_errno(), "the system takes no memory back")
