"""Losses in a row: how long to wait after one, and when to give up."""

from __future__ import annotations

import time

from videothinker.config.settings import FaultsConfig
from videothinker.errors import VideoThinkerError

LONGEST_PAUSE = 60.0


class Strikes:
    """Whoever is lost without having done any work is soon lost again, so each pause is longer."""

    def __init__(self, who: str, faults: FaultsConfig, work: str = "done any work") -> None:
        self._who = who
        self._faults = faults
        self._work = work
        self._reasons: list[str] = []
        self._since: float | None = None

    def add(self, reason: str) -> float:
        """One more; returns the seconds until a replacement is started."""
        self._since = self._since or time.monotonic()
        self._reasons.append(reason)
        return self.pause()

    def pause(self) -> float:
        """Seconds to wait now: none without a loss, twice as many after each."""
        if not self._reasons:
            return 0.0
        return float(
            min(self._faults.backoff_seconds * 2 ** (len(self._reasons) - 1), LONGEST_PAUSE)
        )

    def too_many(self) -> VideoThinkerError | None:
        """Why to give up, once `faults.restarts` of them did not help."""
        if len(self._reasons) <= self._faults.restarts:
            return None
        last = "; ".join(dict.fromkeys(self._reasons[-3:]))
        return VideoThinkerError(
            f"{self._who} was lost {len(self._reasons)} times in a row without having {self._work}"
            f" (faults.restarts = {self._faults.restarts}): {last}. Mend the cause, then go on"
            " with `videothinker train --resume RUN`"
        )

    def served(self) -> float | None:
        """Work was done: seconds since the first of the losses, where there were any."""
        took = None if self._since is None else time.monotonic() - self._since
        self._reasons.clear()
        self._since = None
        return took
