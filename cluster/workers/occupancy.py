"""Who works and who waits for whom, sampled while a run goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from cluster.workers.fleet import Fleet
from cluster.workers.pool import Occupancy
from videothinker.process.metrics import ROLE_SECONDS

LOOK_SECONDS = 0.2
CIRCLE = ("loader", "rollout", "anchor", "learner")
"""Each role's work comes from the one before it, the first's and the second's also from the last:
an engine needs prompts and weights."""


def waits_for(role: str, holding_up: Collection[str]) -> str:
    """Whom an idle role waits for: the nearest before it that holds others up, else the driver."""
    place = CIRCLE.index(role)
    before = [CIRCLE[place - back] for back in range(1, len(CIRCLE))]
    return next((other for other in before if other in holding_up), "driver")


def shares(roles: dict[str, Occupancy]) -> dict[tuple[str, str], float]:
    """Of each role that has workers, the part of them in each state."""
    holding_up = {name for name, role in roles.items() if role.busy and role.awaited}
    found: dict[tuple[str, str], float] = {}
    for name, role in roles.items():
        count = max(role.wanted, role.present)
        if not count:
            continue
        parts = {
            "busy": role.busy,
            "starting": count - role.present,
            f"waiting for {waits_for(name, holding_up)}": role.present - role.busy,
        }
        found |= {(name, state): part / count for state, part in parts.items() if part}
    return found


async def observe(fleet: Fleet) -> None:
    """Count the seconds of every role by state, until cancelled."""
    roles: dict[str, Callable[[], Occupancy]] = {
        "loader": fleet.loader.occupancy,
        "rollout": fleet.rollouts.pool.occupancy,
        "anchor": fleet.anchor.pool.occupancy,
        "learner": fleet.learner.occupancy,
    }
    last = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        for state, share in shares({role: of() for role, of in roles.items()}).items():
            ROLE_SECONDS.labels(*state).inc(share * (now - last))
        last = now
