"""Ray's object store: how large ours is, and what it had to write to disk for want of room."""

from __future__ import annotations

import asyncio
import logging

import grpc
import ray
from ray._private.internal_api import get_memory_info_reply
from ray.exceptions import RayError

from videothinker.planning.memory import STORE_SHARE
from videothinker.planning.passes import GB
from videothinker.planning.plan import memory_here
from videothinker.process.metrics import SPILLED

logger = logging.getLogger(__name__)

LOOK_SECONDS, ANSWER_SECONDS = 5.0, 20.0


def store_bytes(wanted_gb: float | None) -> int | None:
    """What Ray is told; None leaves it to Ray."""
    if wanted_gb is None or wanted_gb > STORE_SHARE * memory_here():
        return None
    return int(wanted_gb * GB)


def spilled_bytes() -> int | None:
    """What the stores of all machines have written to their disks so far; None where Ray does not
    say: no run ends because of a figure.
    """
    try:
        node = next(node for node in ray.nodes() if node["Alive"])
        place = node["NodeManagerAddress"], node["NodeManagerPort"]
        reply = get_memory_info_reply(None, *place, timeout_seconds=ANSWER_SECONDS)
    except (grpc.RpcError, RayError, StopIteration) as error:
        logger.info("how much was spilled is not known: %s", error)
        return None
    return int(reply.store_stats.spilled_bytes_total)


async def watch_spill() -> None:
    """Keep the metric true, and say so once when the store has too little room."""
    warned = False
    while True:
        spilled = await asyncio.to_thread(spilled_bytes)
        if spilled is not None:
            SPILLED.set(spilled)
        if spilled and not warned:
            warned = True
            logger.warning(
                "Ray's object store is full and writes prompts or weights to disk (%d MB so far):"
                " every step waits for that; give the machine more memory, or ask for fewer prompts"
                " a step or a lower rollout.max_staleness",
                spilled // 10**6,
            )
        await asyncio.sleep(LOOK_SECONDS)
