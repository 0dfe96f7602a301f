"""An engine over several devices: its model lies in processes of their own, one a rank.

    this process: vLLM's scheduler --- shared memory ---> rank 0, rank 1 ...   each on its device
    a WeightsPart, mapped from Ray's store --- by value, one at a time --->    each loads its share

All ranks are on one machine. They cannot see Ray's object store, so parts are copied to them, and
never more than one is on its way. They end with this process, and it is of no use without them.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from videothinker.config.settings import Device
from videothinker.errors import WeightsError
from videothinker.process.device import THREADS, card, usage
from videothinker.types import Usage, WeightsPart

BACKEND = "mp"
"""Processes that vLLM starts itself: within a placement group it would have Ray start them, which
knows of no GPU but those that the engine already has."""

LOOK_SECONDS = 5.0
"""Between two questions for what ranks have of their devices."""


def rank_options(ranks: int) -> dict[str, Any]:
    """What vLLM is told beside the options of any engine."""
    if ranks == 1:
        return {}
    return {
        "tensor_parallel_size": ranks,
        "distributed_executor_backend": BACKEND,
        "worker_extension_cls": "actors.vllm_adapter.AdapterRank",
    }


def threads_of_ranks(ranks: int) -> dict[str, str]:
    """What the processes of several find in their environment: a share of the engine's threads."""
    if ranks == 1:
        return {}
    said = os.environ.get(THREADS, "")
    threads = int(said) if said.isdecimal() else os.cpu_count() or 1
    return {THREADS: str(max(1, threads // ranks))}


class Ranks:
    """The ranks of an engine, in this process or in their own; made and called on its thread."""

    def __init__(self, llm: Any, count: int, device: Device) -> None:
        self._call = llm.collective_rpc
        self._executor = llm.llm_engine.engine_core.engine_core.model_executor
        self._device = device
        self._apart = count > 1
        self._usages: Sequence[Usage] = ()
        self._looked = -math.inf
        if self._apart:
            self._call("end_with_engine")
            [self._card, *_] = self._call("card_here", args=(device,))
            self.look()

    def lost(self) -> str:
        """Why nothing can be expected of them any more; may be asked on any thread."""
        return "a process of its model died" if self._apart and self._executor.is_failed else ""

    def card(self) -> str:
        """Where the first one's weights lie; may be asked on any thread."""
        return self._card if self._apart else card(self._device)

    def look(self) -> None:
        """Ask them what they have of their devices, now and then."""
        if self._apart and time.monotonic() > self._looked + LOOK_SECONDS:
            self._usages = self._call("usage_here", args=(self._device,))
            self._looked = time.monotonic()

    def usage(self) -> Usage:
        """What all of them had of their devices; may be asked on any thread."""
        return together(usage(self._device), self._usages, self._device)

    def replace(self, version: int, parts: Sequence[WeightsPart]) -> str | None:
        """Take new weights; returns the reason why not, in which case nothing changed. Whatever is
        raised here leaves ranks with a part of them.
        """
        if not self._apart:
            return first_fault(self._call("replace_weights", args=(version, parts)))
        from videothinker.model.parts import tensors_in

        try:
            shapes = {n: tuple(t.shape) for part in parts for n, t in tensors_in(part, version)}
        except WeightsError as error:
            return str(error)
        if fault := first_fault(self._call("refuses", args=(shapes,))):
            return fault
        self._call("begin_weights")
        for part in parts:
            if fault := first_fault(self._call("take_part", args=(version, part))):
                raise WeightsError(fault)
        self._call("finish_weights")
        return None


def together(engine: Usage, ranks: Sequence[Usage], device: Device) -> Usage:
    """An engine's process and those of its ranks as one: on GPUs, which the first has nothing of,
    the fullest counts; on a CPU they share a memory.
    """
    if not ranks:
        return engine
    if device == "cpu":
        everybody = (engine, *ranks)
        return replace(
            engine,
            memory=sum(one.memory for one in everybody),
            peak=sum(one.peak for one in everybody),
        )
    shares = [one.utilisation for one in ranks if one.utilisation is not None]
    return replace(
        ranks[0],
        memory=max(one.memory for one in ranks),
        peak=max(one.peak for one in ranks),
        utilisation=sum(shares) / len(shares) if shares else None,
        cards=len(ranks),
    )


def first_fault(faults: Sequence[str | None]) -> str | None:
    """Of those of all ranks, naming the rank where there are several."""
    for rank, fault in enumerate(faults):
        if fault is not None:
            return f"rank {rank}: {fault}" if len(faults) > 1 else fault
    return None
