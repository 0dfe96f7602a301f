"""Whether a run lives, from what its files say and from whether anybody holds its lock.

A driver that is killed cannot say so: status.json then says `training` for ever. But
RUN/driver.lock is locked for as long as a driver lives; the kernel lets go of it however that ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from videothinker.progress import duration
from videothinker.run.lock import ENDED, driven
from videothinker.status.snapshot import Snapshot, number

QUIET_SECONDS = 15.0
"""A driver that wrote something since then lives, whatever its lock says."""
SILENT_SECONDS = 600.0
"""From here on somebody should look, where nobody can tell whether it lives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """What a run is doing, and whether anybody does it."""

    state: str
    """As status.json says, or `dead`: it says otherwise, and nobody is there."""
    alive: bool | None
    """None where it cannot be told."""
    words: str
    """The state as a person says it."""
    remark: str = ""
    """What to do about it, where there is something to do."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come by itself."""
        return self.alive is False


def life(run: Snapshot) -> Life:
    """Whether this run lives, what it does, and what to do where it does not."""
    state = run.state
    if state in ENDED and driven(run.path):  # it is leaving, or the next one is on its way
        return Life(state=state, alive=True, words=f"{_ended(run)}, with a driver at work")
    if state in ENDED:
        return Life(state=state, alive=False, words=_ended(run), remark=_remedy(run))
    since = run.now - run.last_word  # less than nothing where a clock was set back
    quiet = max(0.0, since)
    held = True if abs(since) < QUIET_SECONDS else driven(run.path)
    heard = f"nothing heard for {duration(quiet)}"
    resume = f"videothinker train --resume {run.path}"
    if held is False:
        said = f"status.json says {state!r}, but {heard} and its driver is gone."
        return Life(
            state="dead",
            alive=False,
            words="died without a word",
            remark=f"{said} Go on with: {resume}",
        )
    words = _working(run) + (f", {heard}" if quiet >= SILENT_SECONDS else "")
    if held or quiet < SILENT_SECONDS:
        return Life(state=state, alive=held, words=words)
    doubt = f"Whether its driver lives cannot be told from here. If it does not: {resume}"
    return Life(state=state, alive=None, words=words, remark=doubt)


def _working(run: Snapshot) -> str:
    """What a run that lives does, in a few words."""
    stage, state = run.status.get("stage"), run.state
    words = {
        "unknown": "has just begun",
        "starting": "starting its processes",
        "loading": f"loading the models of stage {stage}",
        "training": f"training stage {stage}",
        "probing": "labelling questions by probes",
        "evaluating": f"evaluating the {run.status.get('model')} model",
    }
    return words.get(state, state)


def _ended(run: Snapshot) -> str:
    step = number(run.status.get("step"))
    if run.state == "finished" or step is None:
        return run.state
    return f"{run.state} at step {step:.0f} of stage {run.status.get('stage')}"


def _remedy(run: Snapshot) -> str:
    """What to do about a run that ended before its time."""
    if run.state == "finished":
        return ""
    error = str(run.status.get("error") or "").strip()
    guard = run.status.get("guard")
    collapsed = isinstance(guard, Mapping) and guard.get("action") == "stop"
    again = collapsed and run.state == "failed"  # resumed, it would do the same
    resume = "" if again else f"Go on with: videothinker train --resume {run.path}"
    return " ".join(filter(None, [error, resume]))
