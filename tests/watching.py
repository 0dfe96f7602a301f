"""A run that is looked at from outside, several times a second, whatever is done to it."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """How far a run was at a moment."""

    at: float
    last_step: float
    """When the newest step was recorded."""
    groups: dict[str, float]
    """Finished so far, by rollout worker's address."""


class Watch:
    """Looks at a live run several times a second, from outside."""

    def __init__(self, run: Path) -> None:
        self.samples: list[Sample] = []
        self._run = run
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def groups_between(self, start: float, end: float) -> int:
        """Finished by any rollout worker."""
        inside = [sample.groups for sample in self.samples if start <= sample.at <= end]
        return int(
            sum(
                later[name] - earlier[name]
                for earlier, later in itertools.pairwise(inside)
                for name in earlier.keys() & later.keys()
            )
        )

    def first_step_after(self, moment: float) -> float | None:
        """When the first step after a moment was recorded."""
        return next((s.last_step for s in self.samples if s.last_step > moment), None)

    def _look(self) -> None:
        while not self._over.wait(0.3):
            self.samples.append(
                Sample(at=time.time(), last_step=newest_step(self._run), groups=self._groups())
            )

    def _groups(self) -> dict[str, float]:
        file = self._run / "prometheus_targets.json"
        entries = json.loads(file.read_text()) if file.is_file() else []
        addresses = [e["targets"][0] for e in entries if e["labels"]["role"] == "rollout"]
        found = {address: groups_at(address) for address in addresses}
        return {address: count for address, count in found.items() if count is not None}


def newest_step(run: Path) -> float:
    """When a step was recorded last."""
    return max(map(changed, (run / "rollouts").glob("*.parquet")), default=0.0)


def changed(file: Path) -> float:
    """When it was written; 0 where it has just been taken back."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def groups_at(address: str) -> float | None:
    """A worker's own count; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=0.3) as page:
            text = page.read().decode()
    except OSError:
        return None
    count = re.search(r"^videothinker_rollout_groups_total (\S+)", text, re.MULTILINE)
    return float(count.group(1)) if count else None
