"""Weights from the learner's memory into an engine's, part by part, nothing of them in between.

    Sender                                    Receiver, one for each rank of the engine
    plan: version, names, types, shapes --->  whoever has it decides
    <---------------------------------- go    or refused, and why
    a part, packed into the buffer -------->  into memory of its own
    checksums of its tensors -------------->  compared there; only then they are given away
    <------------------------------- taken    so the buffer is free

Words go through the learner's store. Bytes go by `ipc`, which maps the buffer into the other
process, or by `nccl`, which broadcasts it within a group of these two; on a CPU the same is shared
memory, and gloo. Whoever is gone is not waited for, once somebody says so.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from threading import Event
from typing import Any

import torch
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from videothinker.errors import WeightsError
from videothinker.types import Route

ROW = 1024
"""Words of eight bytes whose sums are summed up once more."""
ALIGNED = 16
"""Bytes: where a tensor may begin in the buffer, whatever its type."""
PAUSE = 0.0002
"""Seconds between two looks for an answer."""
ALLOCATOR = "PYTORCH_ALLOC_CONF"
NCCL_ERRORS = "TORCH_NCCL_ASYNC_ERROR_HANDLING"

Entry = tuple[str, str, Sequence[int]]
"""A tensor's name, type as torch names it, and shape."""


class Group:
    """The learner's rank 0 and the ranks of one engine."""

    def __init__(self, store: Store, route: Route, rank: int, device: torch.device) -> None:
        members, limit = 1 + route.receivers, timedelta(seconds=route.seconds)
        place = PrefixStore(f"group {route.link}", store)
        self._last: Any = None
        if device.type == "cpu":
            from torch.distributed import ProcessGroupGloo

            self._group: Any = ProcessGroupGloo(place, rank, members, limit)
            return
        from torch.distributed import ProcessGroupNCCL

        options = ProcessGroupNCCL.Options()
        options._timeout = limit
        before = os.environ.get(NCCL_ERRORS)
        os.environ[NCCL_ERRORS] = "0"  # or an engine's death would end the learner as well
        self._group = ProcessGroupNCCL(place, rank, members, options)
        os.environ.pop(NCCL_ERRORS)
        if before is not None:
            os.environ[NCCL_ERRORS] = before

    def send(self, content: Tensor) -> None:
        """Returns at once; when it was received, only the receivers know."""
        self._last = self._group.broadcast(content, 0)

    def receive(self, content: Tensor) -> None:
        self._group.broadcast(content, 0).wait()

    def close(self) -> None:
        """Let go of what is under way, too."""
        self._group.abort()


class Sender:
    """The learner's end. A group stays until its engine's process is another one."""

    def __init__(
        self, store: Store, device: torch.device, parts: Sequence[Sequence[Entry]]
    ) -> None:
        self._store = store
        self._device = device
        self._parts = parts
        self._buffer: Tensor | None = None
        self._groups: dict[str, tuple[int, Group]] = {}
        self._gone: dict[int, Event] = {}

    def gone(self, link: int) -> None:
        """Nobody is at its other end any more. From any thread, also before it is used."""
        self._gone.setdefault(link, Event()).set()

    def begin(self, route: Route, version: int) -> Sending:
        """Say what is coming, and wait for the answer."""
        if self._buffer is None:
            self._buffer = lendable(max(places(part)[-1] for part in self._parts), self._device)
        gone = self._gone.setdefault(route.link, Event())
        sending = Sending(words(self._store, route), route, self._buffer, gone)
        handle = lent(self._buffer) if route.path == "ipc" else None
        sending.say("plan", {"version": version, "parts": self._parts, "buffer": handle})
        if sending.heard("go") and route.path == "nccl":
            sending.group = self._group(route)
        return sending

    def end(self, route: Route, sending: Sending) -> str:
        """Why it broke off; empty where everything was taken."""
        sending.forget("plan", "go")
        if sending.broken and route.receiver in self._groups:
            self._groups.pop(route.receiver)[1].close()
        return sending.broken

    def _group(self, route: Route) -> Group:
        link, group = self._groups.get(route.receiver, (None, None))
        if group is not None and link == route.link:
            return group
        if group is not None:
            group.close()
        group = Group(self._store, route, 0, self._device)
        self._groups[route.receiver] = route.link, group
        return group


class Sending:
    """One transfer; once it is broken off, what follows is not sent."""

    def __init__(self, store: Store, route: Route, buffer: Tensor, gone: Event) -> None:
        self._store = store
        self._receivers = route.receivers
        self._buffer = buffer
        self._gone = gone
        self._number = 0
        self.group: Group | None = None
        self.broken = ""

    def part(self, tensors: Mapping[str, Tensor]) -> None:
        """The next of the plan's parts; returns when everybody has it."""
        if self.broken:
            return
        *starts, size = places([entry(name, tensor) for name, tensor in tensors.items()])
        for start, tensor in zip(starts, tensors.values(), strict=True):
            content = as_bytes(tensor)
            self._buffer[start : start + len(content)].copy_(content)
        sums = fingerprints(tensors.values())
        finish(self._buffer.device)
        self.say(f"part {self._number}", sums)
        if self.group is not None:
            self.group.send(self._buffer[:size])
        if self.heard(f"taken {self._number}"):
            self.forget(f"part {self._number}", f"taken {self._number}")
        self._number += 1

    def say(self, key: str, content: Any) -> None:
        self._store.set(key, json.dumps(content))

    def forget(self, *keys: str) -> None:
        """Words that everybody has heard; the store is the learner's memory."""
        for key in keys:
            self._store.delete_key(key)

    def heard(self, key: str) -> bool:
        """Wait until all receivers have said so, or one of them something else."""
        while self._store.add(key, 0) < self._receivers:
            if self._store.check(["refused"]):
                self.broken = self._store.get("refused").decode()
            elif self._gone.is_set():
                self.broken = "the engine is gone"
            if self.broken:
                return False
            time.sleep(PAUSE)
        return True


class Receiver:
    """The end of one rank of an engine."""

    def __init__(self, rank: int, device: torch.device) -> None:
        self._rank = rank
        self._device = device
        self._group: tuple[int, Group] | None = None

    def begin(self, route: Route, version: int) -> Receiving:
        """Hear what is coming; WeightsError where that is another version."""
        limit = timedelta(seconds=route.seconds)
        store = TCPStore(route.host, route.port, is_master=False, timeout=limit)
        receiving = Receiving(
            words(store, route), self._device, partial(self._joined, store, route), route.seconds
        )
        if receiving.version != version:
            reason = f"version {receiving.version} came, and {version} was expected"
            receiving.refuse(reason)
            raise WeightsError(reason)
        return receiving

    def _joined(self, store: Store, route: Route) -> Group | None:
        if route.path == "ipc":
            return None
        if self._group is not None and self._group[0] == route.link:
            return self._group[1]
        if self._group is not None:
            self._group[1].close()
        self._group = route.link, Group(store, route, 1 + self._rank, self._device)
        return self._group[1]


class Receiving:
    """One transfer, as its receiver sees it."""

    def __init__(
        self,
        store: Store,
        device: torch.device,
        group: Callable[[], Group | None],
        seconds: float,
    ) -> None:
        plan = json.loads(store.get("plan"))
        self.version: int = plan["version"]
        self._store = store
        self._device = device
        self._parts: list[list[Entry]] = plan["parts"]
        self._buffer = plan["buffer"]
        self._group = group
        self._seconds = seconds

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of all that is coming."""
        return {name: tuple(shape) for part in self._parts for name, _, shape in part}

    def refuse(self, reason: str) -> None:
        self._store.set("refused", reason)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each in memory of the receiver's own, once its checksum fits."""
        self._store.add("go", 1)
        group = self._group()
        theirs = borrowed(self._buffer, self._device) if group is None else None
        for number, part in enumerate(self._parts):
            *starts, size = places(part)
            sums = json.loads(self._heard(f"part {number}"))
            content = torch.empty(size, dtype=torch.uint8, device=self._device)
            if group is not None:
                group.receive(content)
            elif theirs is not None:
                content.copy_(theirs[:size])
            found = dict(self._in(content, starts, part))
            for name, expected, own in zip(found, sums, fingerprints(found.values()), strict=True):
                if expected != own:
                    reason = f"the checksum of {name} is not the published one"
                    self.refuse(reason)
                    raise WeightsError(reason)
            self._store.add(f"taken {number}", 1)
            yield from found.items()

    def _heard(self, key: str) -> bytes:
        """Wait until the sender says so; in vain where another rank has refused."""
        late = time.monotonic() + self._seconds
        while not self._store.check([key]):
            if self._store.check(["refused"]):
                raise WeightsError(f"another rank refused: {self._store.get('refused').decode()}")
            if time.monotonic() > late:
                raise WeightsError(f"nothing came for {self._seconds:g} s")
            time.sleep(PAUSE)
        return self._store.get(key)

    def _in(
        self, content: Tensor, starts: Sequence[int], part: Sequence[Entry]
    ) -> Iterator[tuple[str, Tensor]]:
        for start, (name, kind, shape) in zip(starts, part, strict=True):
            dtype: torch.dtype = getattr(torch, kind)
            size = nbytes(kind, shape)
            yield name, content[start : start + size].view(dtype).view(tuple(shape))


def words(store: Store, route: Route) -> Store:
    """Those of one transfer."""
    return PrefixStore(f"transfer {route.number}", store)


def entry(name: str, tensor: Tensor) -> Entry:
    return name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)


def nbytes(kind: str, shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count * int(getattr(torch, kind).itemsize)


def places(part: Sequence[Entry]) -> list[int]:
    """Where each tensor begins in the buffer, and where all of them end."""
    found = [0]
    for _, kind, shape in part:
        end = found[-1] + nbytes(kind, shape)
        found.append(-(-end // ALIGNED) * ALIGNED)
    return found


def as_bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def fingerprints(tensors: Iterable[Tensor]) -> list[list[int]]:
    """Two numbers of each, taken where it lies and equal on every device.

    Against damage, not against malice: sums of rows, and sums of columns, of its words, each with a
    weight that tells its place. One flipped bit changes both, whatever else does.
    """
    numbers = [fingerprint(tensor) for tensor in tensors]
    return torch.stack(numbers).tolist() if numbers else []


def fingerprint(tensor: Tensor) -> Tensor:
    """[2] int64; sums wrap around at 2^64."""
    content = as_bytes(tensor)
    if len(content) % 8 or content.data_ptr() % 8:
        content = torch.nn.functional.pad(content, (0, -len(content) % 8))
    numbers = content.view(torch.int64)
    whole = len(numbers) // ROW * ROW
    grid, rest = numbers[:whole].view(-1, ROW), numbers[whole:]
    rows = torch.cat([grid.sum(dim=1), rest.sum(dim=0, keepdim=True)])
    columns = grid.sum(dim=0)
    columns[: len(rest)] += rest
    return torch.stack([placed(rows), placed(columns)])


def placed(numbers: Tensor) -> Tensor:
    """Their sum, each times an odd number of its own, so that no bit of any gets lost."""
    return (numbers * (2 * torch.arange(len(numbers), device=numbers.device) + 1)).sum()


def finish(device: torch.device) -> None:
    """Until all that was begun on it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def lendable(size: int, device: torch.device) -> Tensor:
    """Memory that another process can map: on a GPU not in a segment that expands."""
    usual = os.environ.get(ALLOCATOR) if device.type == "cuda" else None
    if usual is None:
        return torch.empty(size, dtype=torch.uint8, device=device)
    setting: Any = torch._C._accelerator_setAllocatorSettings
    setting("expandable_segments:False")
    try:
        return torch.empty(size, dtype=torch.uint8, device=device)
    finally:
        setting(usual)


def lent(buffer: Tensor) -> list[Any]:
    """What another process of this machine needs to map it; on a CPU it becomes shared memory."""
    storage: Any = buffer.untyped_storage()
    if buffer.device.type == "cpu":
        return [os.getpid(), *storage._share_fd_cpu_()]
    _, *handle = storage._share_cuda_()
    return [item.hex() if isinstance(item, bytes) else item for item in handle]


def borrowed(handle: Sequence[Any], device: torch.device) -> Tensor:
    """The other process's buffer; on a GPU this one's index of the card counts, not the other's."""
    storages: Any = torch.UntypedStorage
    if device.type == "cpu":
        process, place, size = handle
        file = os.open(f"/proc/{process}/fd/{place}", os.O_RDWR)
        try:
            storage = storages._new_shared_fd_cpu(file, size)
        finally:
            os.close(file)
    else:
        known = [bytes.fromhex(item) if isinstance(item, str) else item for item in handle]
        storage = storages._new_shared_cuda(torch.cuda.current_device(), *known)
    return torch.empty(0, dtype=torch.uint8, device=device).set_(storage)
