"""Weights from one process into another, by each way that the cards allow, beside a plain copy."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from gpu_check.environment import copy_rate
from gpu_check.part import Finding, answer, settle
from videothinker.model.parts import as_part, tensors_in
from videothinker.model.transfer import Receiver, Sender, entry
from videothinker.process.address import LOOPBACK, listening, stay_on
from videothinker.types import Route

TENSORS = {"cuda": (112, (2**15, 2**10)), "cpu": (4, (2**10, 2**10))}
"""How many of which shape, in 16 bits: 7.5 GB, as the 3B model."""
SHARE = 0.1
"""Of a copy's rate that the better way is asked for."""
ROUNDS = 3


def received(route: Route, device: str) -> int:
    """Bytes taken by the other end, in a process of its own."""
    stay_on(LOOPBACK)
    if route.path == "nccl" and torch.cuda.device_count() > 1:
        torch.cuda.set_device(1)
    where = torch.device(device, torch.cuda.current_device()) if device == "cuda" else device
    taken = 0
    for _, tensor in Receiver(0, torch.device(where)).begin(route, route.number).tensors():
        taken += tensor.nbytes
    return taken


def ways(device: torch.device) -> list[str]:
    """NCCL takes a card for each process."""
    several = device.type == "cpu" or torch.cuda.device_count() > 1
    return ["ipc", "nccl"] if several else ["ipc"]


def rates(device: torch.device) -> dict[str, float]:
    """GB in a second, of the fastest of some rounds, the checksums of both ends included."""
    stay_on(LOOPBACK)
    listener = listening(LOOPBACK)
    port = listener.getsockname()[1]
    store = torch.distributed.TCPStore(
        LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach()
    )
    count, shape = TENSORS[device.type]
    parts = [
        {f"tensor {number}": torch.randn(shape, device=device).bfloat16()}
        for number in range(count)
    ]
    sender = Sender(store, device, [[entry(*item) for item in part.items()] for part in parts])
    size = sum(tensor.nbytes for part in parts for tensor in part.values())
    found = {}
    for link, path in enumerate(ways(device), 1):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            took = []
            for number in range(10 * link, 10 * link + ROUNDS):
                route = Route(
                    path=path,  # type: ignore[arg-type]
                    host=LOOPBACK,
                    port=port,
                    number=number,
                    link=10 * link + number,
                    receiver=f"engine {path}",
                    receivers=1,
                    seconds=60,
                )
                taking = other.submit(received, route, device.type)
                sending = sender.begin(route, number)
                started = time.perf_counter()
                for part in parts:
                    sending.part(part)
                broken = sender.end(route, sending)
                assert not broken, broken
                assert taking.result() == size
                took.append(time.perf_counter() - started)
        found[path] = size / min(took) / 1e9
    return found


def through_host(device: torch.device) -> float:
    """GB in a second by the way `host`: off the device, and onto it again, with a checksum at both
    ends; what the object store does in between is not the card's."""
    count, shape = TENSORS[device.type]
    tensor = torch.randn(shape, device=device).bfloat16()
    started = time.perf_counter()
    for number in range(count):
        for _, received in tensors_in(as_part(number, [("tensor", tensor)]), number):
            received.to(device, copy=True)
    settle(device)
    return count * tensor.nbytes / (time.perf_counter() - started) / 1e9


def weights(device: torch.device, _: Path) -> Finding:
    straight, copied = rates(device), copy_rate(device) / 1e9
    found = straight | {"host": through_host(device)}
    gpu = device.type == "cuda"
    said = ", ".join(f"{path} {rate:.2g}" for path, rate in found.items())
    missing = "" if "nccl" in straight else " (NCCL takes two cards)"
    return Finding(
        passed=not gpu or max(straight.values()) > SHARE * copied,
        said=f"{said} GB/s with checksums{missing}; a copy {copied:.3g}",
        goal=f"the better straight way above {SHARE:g} of a copy" if gpu else "each arrives whole",
        figures=found | {"a copy on the device": copied},
    )


if __name__ == "__main__":
    answer(weights)
