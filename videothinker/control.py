"""Wishes to a live run, as files in its folder: whoever may write there may steer it.

RUN/control.json    the latest wish; replaced by whoever steers
RUN/status.json     under "control" what the run made of it; written by the run alone
"""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

from videothinker.errors import InputError, VideoThinkerError
from videothinker.run import atomic_write

FILE = "control.json"
ANSWER_SECONDS = 30.0
"""A live run answers within a few; it may be busy on a slow disk."""


def read_wish(run: Path) -> dict[str, Any] | None:
    """The latest wish: {"id", "rollouts", "scorers"}, either number None where nothing is asked."""
    file = run / FILE
    if not file.is_file():
        return None
    wish: dict[str, Any] = json.loads(file.read_text())
    return wish


def scale(run: Path, rollouts: int | None, scorers: int | None) -> dict[str, Any]:
    """Ask a live run for other numbers of workers; returns its answer."""
    if rollouts is None and scorers is None:
        raise InputError("scale: nothing asked for; give --rollouts N, --scorers N or both")
    for option, wanted in (("--rollouts", rollouts), ("--scorers", scorers)):
        if wanted is not None and wanted < 1:
            raise InputError(f"{option} {wanted}: a run needs at least one")
    if not (run / "status.json").is_file():
        raise InputError(f"{run}: not a run (no status.json in it). Give the folder of a live run")
    name = uuid.uuid4().hex
    wish = {"id": name, "rollouts": rollouts, "scorers": scorers}
    atomic_write(run / FILE, json.dumps(wish) + "\n")
    return _answer(run, name)


def _answer(run: Path, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        answer = _status(run).get("control") or {}
        if answer.get("id") == name:
            if answer.get("refused"):
                raise VideoThinkerError(f"{run}: {answer['refused']}")
            return dict(answer)
        time.sleep(0.1)
    (run / FILE).unlink(missing_ok=True)  # nobody should find it later, by surprise
    status = _status(run)
    raise VideoThinkerError(
        f"{run}: nobody answers; its state is {status.get('state', 'unknown')!r} since"
        f" {time.time() - status.get('updated', 0):.0f} s. Only a live run can be steered"
    )


def _status(run: Path) -> dict[str, Any]:
    status: dict[str, Any] = json.loads((run / "status.json").read_text())
    return status
