"""Wishes to a live run, as files in its folder: whoever may write there may steer it.

RUN/control.json    the latest wish; replaced by whoever steers
RUN/status.json     under "control" what the run made of it; written by the run alone
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from videothinker.errors import InputError, VideoThinkerError
from videothinker.files import atomic_write, last_lines, read_json
from videothinker.run.directory import WISH
from videothinker.run.lock import ENDED, driven

ANSWER_SECONDS = 30.0
"""A live run answers within a few; it may be busy on a slow disk."""


def read_wish(run: Path) -> dict[str, Any]:
    """The latest wish: an "id", and "rollouts" and "scorers", None where not asked, or "stop".

    Empty where nobody wished for anything.
    """
    return read_json(run / WISH)


def scale(run: Path, rollouts: int | None, scorers: int | None) -> dict[str, Any]:
    """Ask a live run for other numbers of workers; returns its answer."""
    if rollouts is None and scorers is None:
        raise InputError("scale: nothing asked for; give --rollouts N, --scorers N or both")
    for option, wanted in (("--rollouts", rollouts), ("--scorers", scorers)):
        if wanted is not None and wanted < 1:
            raise InputError(f"{option} {wanted}: a run needs at least one")
    _require_live(run)
    if read_wish(run).get("stop"):
        raise VideoThinkerError(f"{run}: is about to stop, as asked; scale it when it goes on")
    return _answer(run, _ask(run, rollouts=rollouts, scorers=scorers))


def stop(run: Path, seconds: float) -> dict[str, Any]:
    """Ask a live run to end after its step, and wait so long for it; returns its last status."""
    _require_live(run)
    earlier = read_wish(run)
    name = earlier["id"] if earlier.get("stop") else _ask(run, stop=True)
    if driven(run) is None:  # otherwise it is known to be heard
        _answer(run, name)
    pace = _pace(run)
    sys.stderr.write(f"{run}: ends after the step it is in, with its state saved; {pace}\n")
    deadline = time.monotonic() + seconds
    while not _over(run):
        if time.monotonic() > deadline:
            raise VideoThinkerError(
                f"{run}: has not ended within {seconds:g} s, and still will; {pace}. `videothinker"
                f" status {run}` tells when, or wait longer: --wait SECONDS"
            )
        time.sleep(0.2)
    status = _status(run)
    if status["state"] in ("interrupted", "failed"):
        raise VideoThinkerError(
            f"{run}: {status['state']} before it could stop: {status.get('error') or 'no reason'}"
        )
    return status


def _require_live(run: Path) -> None:
    if not (run / "status.json").is_file():
        raise InputError(f"{run}: not a run (no status.json in it). Give the folder of a live run")
    if driven(run) is False:
        raise VideoThinkerError(_nobody(run))


def _ask(run: Path, **wish: object) -> str:
    name = uuid.uuid4().hex
    atomic_write(run / WISH, json.dumps({"id": name, **wish}) + "\n")
    return name


def _answer(run: Path, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline and driven(run) is not False:
        answer = _status(run).get("control") or {}
        if answer.get("id") == name:
            if answer.get("refused"):
                raise VideoThinkerError(f"{run}: {answer['refused']}")
            return dict(answer)
        time.sleep(0.1)
    (run / WISH).unlink(missing_ok=True)  # nobody should find it later, by surprise
    raise VideoThinkerError(_nobody(run))


def _nobody(run: Path) -> str:
    status = _status(run)
    return (
        f"{run}: nobody answers; its state is {status.get('state', 'unknown')!r} since"
        f" {max(0.0, time.time() - status.get('updated', 0)):.0f} s. Only a live run can be steered"
    )


def _over(run: Path) -> bool:
    """Whether the driver has let go of the run; by its last word where there are no locks."""
    held = driven(run)
    return _status(run)["state"] in ENDED if held is None else not held


def _pace(run: Path) -> str:
    """How long a run's steps take, for whoever waits for one."""
    steps = last_lines(run / "metrics.jsonl", 1)
    if not steps:
        return "it has done none so far, and loading models comes first"
    took = steps[-1]["seconds"]["total"]
    return f"the last step took {took:.0f} s, and evaluating or exporting a model can take longer"


def _status(run: Path) -> dict[str, Any]:
    return read_json(run / "status.json")
