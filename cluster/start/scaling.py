"""A live run's obedience to `videothinker scale`, and its answer to `stop`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig
from videothinker.errors import PlacementError
from videothinker.run.directory import RunDirectory
from videothinker.run.wishes import read_wish

LOOK_SECONDS = 0.5


class Scaling:
    """Looks for wishes in the run's folder and answers them in its status.

    The last wish counts for a resumed run too: whoever asked for three workers still wants three.
    """

    def __init__(self, config: RunConfig, run: RunDirectory) -> None:
        self._config = config
        self._run = run
        self._anchored = any(stage.kl.asks for stage in config.stages)
        self._granted: dict[str, Any] = run.status().get("control") or {}

    def counts(self, wish: Mapping[str, Any] | None = None) -> dict[str, int]:
        """Rollout workers and scorers wanted: by this wish, else by the last, else at the start."""
        wanted = {"rollouts": self._config.rollout.workers, "scorers": self._config.cluster.scorers}
        for source in (self._granted, wish or {}):
            wanted |= {role: source[role] for role in wanted if source.get(role)}
        return wanted if self._anchored else wanted | {"scorers": 0}

    async def follow(self, fleet: Fleet) -> None:
        """Answer every wish, until cancelled."""
        answered = ""
        while True:
            wish = read_wish(self._run.path)
            if wish and wish["id"] != answered:
                answered = wish["id"]
                self._run.status(control={"id": answered, **await self._obey(fleet, wish)})
            await asyncio.sleep(LOOK_SECONDS)

    async def _obey(self, fleet: Fleet, wish: dict[str, Any]) -> dict[str, Any]:
        if wish.get("stop"):  # what follows is up to the loop, after its step
            return self.counts()
        if wish["scorers"] and not self._anchored:
            reason = "no stage of it has an anchor, so there is nothing to score"
            return {"refused": reason, **self.counts()}
        if wish["scorers"] and not self._config.cluster.scorers:
            reason = "cluster.scorers is 0, so the learner scores; start it again with 1 or more"
            return {"refused": reason, **self.counts()}
        counts = self.counts(wish)
        try:
            await asyncio.to_thread(fleet.require_room, counts["rollouts"], counts["scorers"])
        except PlacementError as error:
            return {"refused": str(error), **self.counts()}
        self._granted = counts
        fleet.rollouts.pool.resize(counts["rollouts"])
        fleet.anchor.pool.resize(counts["scorers"])
        return {
            **counts,
            "rollouts_live": len(fleet.rollouts.pool.workers),
            "scorers_live": len(fleet.anchor.pool.workers),
        }
