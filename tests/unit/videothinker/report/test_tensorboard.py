"""Event files, read back: every number of a run, at its step and its time."""

import struct
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from videothinker.cli.main import main
from videothinker.report.tensorboard import write_events
from videothinker.run.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run", "name: trial\n")
    for stage in ("bias", "cdpo"):
        for step in (1, 2):
            line = {"stage": stage, "step": step, "reward": step / 4, "kl": None, "guard": {"a": 1}}
            run.record({**line, "seconds": {"learn": 2.0}})
    return run


def scalars(folder: Path) -> list[tuple[str, int, float, float]]:
    """Name, step, value and time of every scalar in the only event file of a folder."""
    [file] = folder.iterdir()
    data, at = file.read_bytes(), 0
    found = []
    while at < len(data):  # length, its checksum, an event, its checksum
        [length] = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + length])
        for value in event.summary.value:
            if not value.HasField("simple_value"):
                continue  # the configuration, as a text
            found.append((value.tag, event.step, value.simple_value, event.wall_time))
        at += 16 + length
    return found


def test_every_number_of_every_step_is_there_once_by_stage(run: RunDirectory) -> None:
    folder = write_events(run.path)
    assert sorted(path.name for path in folder.iterdir()) == ["bias", "cdpo"]
    found = [(name, step, value) for name, step, value, _ in scalars(folder / "bias")]
    assert sorted(found) == [
        ("reward", 1, 0.25),
        ("reward", 2, 0.5),
        ("seconds/learn", 1, 2.0),
        ("seconds/learn", 2, 2.0),
    ]


def test_a_role_s_figures_are_curves_of_their_own(run: RunDirectory) -> None:
    roles = {"learner": {"memory_gb": 2.0, "mfu": None}}
    run.record({"stage": "late", "step": 1, "roles": roles})
    found = scalars(write_events(run.path) / "late")
    assert [(name, value) for name, _, value, _ in found] == [("learner/memory_gb", 2.0)]


def test_a_value_stands_at_the_time_its_step_ended(run: RunDirectory) -> None:
    run.path.joinpath("metrics.jsonl").write_text(
        '{"stage": "bias", "step": 7, "reward": 1.0, "time": 1700000000.5}\n'
    )
    assert scalars(write_events(run.path) / "bias") == [("reward", 7, 1.0, 1700000000.5)]


def test_again_replaces_what_was_there(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert main(["report", str(run.path), "--tensorboard"]) == 0
    assert len(scalars(run.path / "tensorboard" / "bias")) == 4
    assert str(run.path / "report.html") in capsys.readouterr().out
    assert not list(run.path.glob(".*"))


def test_without_the_library_one_line_says_what_to_install(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(["report", str(run.path), "--tensorboard"]) == 1
    assert "pip install tensorboardX" in capsys.readouterr().err


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run" in capsys.readouterr().err
