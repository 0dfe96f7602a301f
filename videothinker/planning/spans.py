"""Engines over several GPUs (`rollout.tensor_parallel`): which of them, and of what model.

An engine's GPUs are neighbours on one machine, and nobody else's: its ranks wait for each other in
every layer, so that what slows one slows all, and vLLM measures on each what it may take.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence

from videothinker.config.settings import RunConfig
from videothinker.model.shape import ModelShape


def span(first: int, gpus: int) -> range:
    """The devices of an engine that sits on this one and those after it."""
    return range(first, first + gpus)


def free_spans(free: Collection[int], owners: Sequence[int], gpus: int) -> list[range]:
    """As many engines as there is room for on free devices, none over two machines."""
    found: list[range] = []
    for first in sorted(free):
        wanted = span(first, gpus)
        one_machine = {*wanted} <= {*free} and len({owners[index] for index in wanted}) == 1
        if one_machine and (not found or first >= found[-1].stop):
            found.append(wanted)
    return found


def wide_seats(
    config: RunConfig, counts: Sequence[int], owners: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Where ranks, engines by their first device, and anchors may sit.

    The ranks are on the first devices or on the last, so that whole machines are left for engines.
    Anchors go where no engine is, to the learner's where nothing else is left.
    """
    ranks, engines, anchors = counts
    gpus, devices = config.rollout.tensor_parallel, range(len(owners))
    for learner in (devices[:ranks], devices[-ranks:]):
        free = [index for index in devices if index not in learner]
        spans = free_spans(free, owners, gpus)[:engines]
        if len(learner) < ranks or len(spans) < engines:
            continue
        idle = [index for index in free if not any(index in one for one in spans)]
        others = idle or learner[::-1]
        yield (
            tuple(learner),
            tuple(one.start for one in spans),
            tuple(others[number % len(others)] for number in range(anchors)),
        )


def uneven(config: RunConfig, shape: ModelShape) -> str | None:
    """Why the model cannot be shared out over an engine's GPUs; None where it can."""
    gpus = config.rollout.tensor_parallel
    sizes = {
        "attention heads": shape.heads,
        "key-value heads": shape.kv_heads,
        "vision heads": shape.vision_heads,
        "features of its MLP": shape.intermediate,
        "features of its vision MLP": shape.vision_intermediate,
    }
    for name, size in sizes.items():
        if size % gpus:
            most = math.gcd(*sizes.values())
            ways = [str(count) for count in range(1, most + 1) if most % count == 0]
            return (
                f"rollout.tensor_parallel = {gpus}: the model has {size} {name}, which cannot be"
                f" shared out evenly. Use {' or '.join(ways)}"
            )
    return None
