"""RUN/metrics.jsonl as TensorBoard event files, a folder a stage."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from videothinker.files import disk_errors, whole_folder
from videothinker.status.snapshot import each_step, read_snapshot
from videothinker.tracking.record import Told, models_of
from videothinker.tracking.trackers import EVENTS, EventFiles


def write_events(run: Path) -> Path:
    """Every number of every step, by stage, and the results of its model; replaces what an earlier
    call wrote. A run that reports to TensorBoard goes on in files beside these."""
    snapshot = read_snapshot(run, tail=1)
    target = snapshot.path / EVENTS
    with (
        disk_errors(target),
        whole_folder(target, replace=True) as partial,
        closing(EventFiles(partial, snapshot.config)) as files,
    ):
        for entry in Told().news(each_step(run / "metrics.jsonl"), models_of(snapshot.summary)):
            files.log(entry)
    return target
