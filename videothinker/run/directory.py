"""A run's directory: what a run leaves behind as status, metrics, events, rollouts and summary.

Files that are replaced appear whole or not at all; files that grow do so by whole lines.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from videothinker.errors import InputError, VideoThinkerError
from videothinker.files import (
    atomic_write,
    cut_torn_line,
    disk_errors,
    keep_lines,
    last_lines,
    plain,
    read_json,
    write_json,
)
from videothinker.run.draws import forget_draws
from videothinker.run.rollout_files import ROLLOUTS, forget_rollouts, pack_rollouts
from videothinker.run.rollouts import write_groups
from videothinker.types import ScoredGroup

logger = logging.getLogger(__name__)

DRIVER_LOCK = "driver.lock"
"""Name of the file whose lock the driver of a run holds (`videothinker/run/lock.py`)."""
WISH = "control.json"
"""Name of the file that asks the driver for something (`videothinker/run/wishes.py`)."""


class RunDirectory:
    """One run on disk; any thread of one process may write. README.md lists its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._status: dict[str, Any] = {}
        self._complained: set[str] = set()
        self._epoch = -time.monotonic() + time.time()
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, config_yaml: str) -> RunDirectory:
        """A new run; never on top of an older one, whose results would then be a mixture."""
        cls.require_empty(path)
        for folder in (path, path / ROLLOUTS, path / "stages"):
            with disk_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        atomic_write(path / "config.yaml", config_yaml)
        return run

    @staticmethod
    def require_empty(path: Path) -> None:
        """InputError where a folder holds something; what a start leaves that was cut short may."""
        mine = {DRIVER_LOCK, ROLLOUTS, "stages"}
        if path.exists() and (not path.is_dir() or {file.name for file in path.iterdir()} - mine):
            raise InputError(
                f"{path}: already exists, is not empty, and not a run of this configuration."
                " Choose another folder: out=DIR"
            )

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run, ready to be written to again.

        A process killed in the middle of a line leaves half of it behind; it is cut off, because
        the next line would otherwise be glued to it and both be lost.
        """
        if not (path / "config.yaml").is_file():
            raise InputError(
                f"{path}: not a run (no config.yaml in it). Give the folder that "
                "`videothinker train` wrote."
            )
        run = cls(path)
        for name in ("metrics.jsonl", "validation.jsonl", "skipped.jsonl", "events.jsonl"):
            cut_torn_line(path / name)
        if read_json(path / WISH).get("stop"):
            (path / WISH).unlink()  # it was meant for the driver before
        run._go_on_after(last_lines(path / "metrics.jsonl", 1))
        run._status = read_json(path / "status.json")
        write_json(path / "status.json", run._status)  # or whoever cannot write would start first
        return run

    def status(self, **fields: object) -> dict[str, Any]:
        """Updates the named fields of status.json, keeps the others, and returns them all.

        Told by the driver alone: `train.run`, `Session`, `Roster` and `Scaling`.
        """
        with self._lock:
            self._status = {**self._status, **plain(fields), "updated": time.time()}
            with self.spared("status.json"):
                write_json(self.path / "status.json", self._status)
            return dict(self._status)

    def record(self, step_report: dict[str, Any]) -> None:
        """Appends one step to metrics.jsonl, and when it ended."""
        self._append("metrics.jsonl", {**step_report, "time": self._moment()})

    def validated(self, line: dict[str, Any]) -> None:
        """Appends how well a stage answered after a step to validation.jsonl."""
        self._append("validation.jsonl", {**line, "time": self._moment()})

    def skip(self, stage: str, step: int, question_id: str, reason: str) -> None:
        """Appends one sample that was left out to skipped.jsonl."""
        entry = {"stage": stage, "step": step, "question_id": question_id, "reason": reason}
        self._append("skipped.jsonl", entry)

    def event(self, event: dict[str, Any]) -> None:
        """Appends to events.jsonl what happened to a process, and when."""
        with self.spared("events.jsonl"):
            self._append("events.jsonl", {"time": self._moment(), **event})

    def rollouts(self, stage: str, step: int, groups: Sequence[ScoredGroup]) -> None:
        """Keeps every group of a step, one row each, if it can be written.

        The file is named by stage and step, so a step that is replayed after a crash replaces what
        it wrote before instead of adding to it.
        """
        with self.spared(ROLLOUTS):
            write_groups(self.path, stage, step, groups)
            pack_rollouts(self.path, stage, step)

    @contextmanager
    def spared(self, name: str) -> Iterator[None]:
        """Around the writing of what training goes on without: that it cannot be written is said
        once for each name, and ends nothing."""
        try:
            with disk_errors(self.path / name):
                yield
        except VideoThinkerError as error:
            if name not in self._complained:
                self._complained.add(name)
                logger.warning("the run goes on without its %s: %s", name, error)

    def forget_after(self, stage: str, step: int) -> None:
        """Drop what a stage recorded after a step that it now goes back to."""
        with self._lock:
            for name in ("metrics.jsonl", "validation.jsonl", "skipped.jsonl"):
                keep_lines(self.path / name, lambda e: e["stage"] != stage or e["step"] <= step)
        forget_draws(self.path / "stages" / stage, step)
        forget_rollouts(self.path, stage, step)

    def stage(self, name: str) -> Path:
        """The folder of one stage's model and state; made if missing."""
        folder = self.path / "stages" / name
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def summary(self, summary: dict[str, Any]) -> None:
        """Replaces summary.json: results and lineage."""
        write_json(self.path / "summary.json", plain(summary))

    def _moment(self) -> float:
        """Unix seconds, by the clock as it was when the driver began: lines follow each other as
        things did, also where somebody sets the clock back."""
        return self._epoch + time.monotonic()

    def _go_on_after(self, steps: Sequence[dict[str, Any]]) -> None:
        """Where the clock is behind what an earlier driver wrote, time goes on from there."""
        last = [one["time"] for one in steps if isinstance(one.get("time"), float)]
        self._epoch = max([self._epoch, *[moment - time.monotonic() for moment in last]])

    def _append(self, name: str, entry: dict[str, Any]) -> None:
        path = self.path / name
        with self._lock, disk_errors(path), path.open("a") as file:
            file.write(json.dumps(plain(entry)) + "\n")


def last_model(run: Path) -> Path:
    """The folder of what the last finished stage of a run left; InputError where none is."""
    models = read_json(run / "summary.json").get("models", [])
    names = [model["name"] for model in models if model["name"] != "base"]
    if not names:
        raise InputError(
            f"{run}: neither an adapter (no adapter_config.json) nor a run with a finished stage."
            " Name RUN or RUN/stages/NAME/model"
        )
    return run / "stages" / str(names[-1]) / "model"
