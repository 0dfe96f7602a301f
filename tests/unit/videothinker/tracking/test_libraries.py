"""The five libraries themselves, offline: what each has on its disk after a run and its resumption.

`make trackers` installs those that are not in the locked environment, and runs this file.
"""

import json
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from tracked_runs import models, new_run, steps, told, wait_until_told

from videothinker.config.settings import TrackerName
from videothinker.run.directory import RunDirectory
from videothinker.tracking.beside import tracked
from videothinker.tracking.record import Told
from videothinker.tracking.trackers import LIBRARIES, EventFiles

pytestmark = pytest.mark.timeout(300)  # one of them makes a database for ten seconds

CONFIG = {"name": "trial", "seed": 42, "kl": {"coefficient": 0.01}}
STAGES = {"stages": [{"name": "bias", "steps": 4}]}
Points = list[tuple[int, float]]


@dataclass(kw_only=True, slots=True)
class Found:
    """What a library kept, by its own account."""

    runs: set[tuple[str, str, str]] = field(default_factory=set)
    """Project, name, id."""
    points: dict[str, Points] = field(default_factory=lambda: defaultdict(list))
    config: dict[str, Any] = field(default_factory=dict)


def log_records(file: Path) -> Iterator[bytes]:
    """Of a file in LevelDB's log format after a header of seven bytes, as two of them write it."""
    data, at, parts = file.read_bytes(), 7, []
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        parts.append(data[at + 7 : at + 7 + size])
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


def by_wandb(folder: Path) -> Found:
    from wandb.proto.wandb_internal_pb2 import Record

    found, axes, own_steps = Found(), {}, []
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in map(Record.FromString, log_records(file)):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                found.runs.add((record.run.project, record.run.display_name, record.run.run_id))
                given = {one.key: json.loads(one.value_json) for one in record.run.config.update}
                found.config = {key: value for key, value in given.items() if key[0] != "_"}
            elif kind == "metric" and record.metric.glob_name:
                axes[record.metric.glob_name] = record.metric.step_metric
            elif kind == "history":
                row = {
                    "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item
                }
                own_steps.append(row["_step"])
                for key in {key for key in row if key[0] != "_"} - {*axes.values()}:
                    step = row[axes[f"{key.partition('/')[0]}/*"]]
                    found.points[key].append((step, row[key]))
    assert own_steps == [*range(len(own_steps))]
    return found


def by_swanlab(folder: Path) -> Found:
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record

    found = Found()
    for file in sorted(folder.glob("swanlog/run-*/*.swanlab")):
        for record in map(Record.FromString, log_records(file)):
            if record.HasField("start"):
                found.runs.add((record.start.project, record.start.name, record.start.id))
            elif record.HasField("scalar"):
                scalar = record.scalar
                found.points[scalar.key].append((scalar.step, scalar.value.number))
        kept = file.parent.joinpath("files/config.yaml").read_text()
        found.config = CONFIG | STAGES if "coefficient: 0.01" in kept else {}
    return found


def by_trackio(folder: Path) -> Found:
    found = Found()
    [file] = folder.glob("trackio/*.db")
    with sqlite3.connect(file) as database:
        rows = "SELECT run_name, run_id, step, metrics FROM metrics ORDER BY id"
        for name, run_id, step, values in database.execute(rows):
            found.runs.add((file.stem, name, run_id))
            for key, value in json.loads(values).items():
                found.points[key].append((step, value))
        [[given]] = database.execute("SELECT config FROM configs")
    found.config = {key: value for key, value in json.loads(given).items() if key[0] != "_"}
    return found


def by_mlflow(folder: Path) -> Found:
    from mlflow import MlflowClient

    client, found = MlflowClient(f"sqlite:///{folder}/mlflow.db"), Found()
    for experiment in client.search_experiments(filter_string="name != 'Default'"):
        for run in client.search_runs([experiment.experiment_id]):
            assert run.info.status == "FINISHED"
            found.runs.add((experiment.name, run.info.run_name, run.info.run_id))
            for key in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, key)
                found.points[key] = [(one.step, one.value) for one in history]
            given = run.data.params
            if (given["kl.coefficient"], given["stages.0.steps"]) == ("0.01", "4"):
                found.config = CONFIG | STAGES
    return found


def by_tensorboard(folder: Path) -> Found:
    """Files of a stage one after the other; a session that starts takes back what came after."""
    from tensorboardX.proto.event_pb2 import Event

    found = Found()
    for file in sorted(folder.glob("run/tensorboard/*/*"), key=lambda one: one.stat().st_mtime_ns):
        data, at = file.read_bytes(), 0
        while at < len(data):
            [length] = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log"):
                for key, points in found.points.items():
                    if key.startswith(f"{file.parent.name}/"):
                        points[:] = [one for one in points if one[0] < event.step]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    key = f"{file.parent.name}/{value.tag}"
                    found.points[key].append((event.step, value.simple_value))
                elif "coefficient: 0.01" in value.tensor.string_val[0].decode():
                    found.config = CONFIG | STAGES
    found.runs = {("videothinker", "trial", "tensorboard")}
    return found


READERS = {
    "tensorboard": by_tensorboard,
    "trackio": by_trackio,
    "wandb": by_wandb,
    "mlflow": by_mlflow,
    "swanlab": by_swanlab,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """Nobody else's account, settings or files."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "HOME": str(tmp_path),
        "WANDB_MODE": "offline",
        "SWANLAB_MODE": "offline",
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TRACKERS_VENV", raising=False)
    return new_run(tmp_path)


@pytest.mark.parametrize("tracker", LIBRARIES)
def test_a_run_and_its_resumption_are_one_there(
    tracker: str, run: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(LIBRARIES[tracker], reason="not in the locked set; `make trackers` has it")
    with suppress(KeyboardInterrupt), tracked([tracker], run.path):
        steps(run, "bias", [1, 2, 3])
        models(run, base=0.25)
        wait_until_told(run, tracker, "bias", 3)
        raise KeyboardInterrupt
    run.forget_after("bias", 2)
    with tracked([tracker], run.path):
        steps(run, "bias", [3, 4], scale=4)
        wait_until_told(run, tracker, "bias", 4)
        models(run, base=0.25, bias=0.5)
        steps(run, "cdpo", [1], scale=1)
        wait_until_told(run, tracker, "cdpo", 1)
    assert caplog.messages == []
    found = READERS[tracker](run.path.parent)
    assert found.runs == {("videothinker", "trial", told(run, tracker)["id"])}
    taken_back: Points = [] if tracker == "tensorboard" else [(3, 0.375)]
    assert dict(found.points) == {
        "base/results/overall/mean": [(0, 0.25)],
        "bias/reward": [(1, 0.125), (2, 0.25), *taken_back, (3, 0.75), (4, 1.0)],
        "bias/learner/memory_gb": [
            (1, 1.5),
            (2, 1.5),
            *([(3, 1.5)] if taken_back else []),
            (3, 1.5),
            (4, 1.5),
        ],
        "bias/results/overall/mean": [(4, 0.5)],
        "cdpo/reward": [(1, 1.0)],
        "cdpo/learner/memory_gb": [(1, 1.5)],
    }
    assert found.config == CONFIG | STAGES


def test_tensorboard_itself_shows_a_step_made_again_once(run: RunDirectory) -> None:
    pytest.importorskip("tensorboard", reason="not in the locked set; `make trackers` has it")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for made in ([1, 2, 3], [3, 4]):
        with tracked(["tensorboard"], run.path):
            steps(run, "bias", made, scale=made[-1])
        run.forget_after("bias", 2)
    shown = EventAccumulator(str(run.path / "tensorboard" / "bias"))
    shown.Reload()
    assert [(one.step, one.value) for one in shown.Scalars("reward")][2:] == [(3, 0.75), (4, 1.0)]


def test_every_tracker_that_may_be_named_has_a_library_and_a_reader_here() -> None:
    assert {*get_args(TrackerName)} == {*LIBRARIES} == {*READERS}


def test_event_files_go_on_after_report_has_replaced_their_folder(run: RunDirectory) -> None:
    from videothinker.report.tensorboard import write_events

    files, told_so_far = EventFiles(run.path / "tensorboard", {}), Told()
    for step in (1, 2):
        steps(run, "bias", [step])
        line = {"stage": "bias", "step": step, "reward": step / 8}
        for entry in told_so_far.news([line], []):
            files.log(entry)
        if step == 1:
            write_events(run.path)
    files.close()
    found = by_tensorboard(run.path.parent)
    assert found.points["bias/reward"] == [(1, 0.125), (2, 0.25)]
