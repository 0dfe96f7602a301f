"""Event files, read back byte by byte as the format is published, not by who wrote them."""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frames(data: bytes) -> Iterator[bytes]:
    """The payloads of a TFRecord file; each length and payload has to match its checksum."""
    at = 0
    while at < len(data):
        length, checksum = struct.unpack_from("<QI", data, at)
        assert checksum == masked(data[at : at + 8])
        payload = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length) == (masked(payload),)
        yield payload
        at += 16 + length


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at


def fields(data: bytes) -> dict[int, object]:
    """A protobuf message as number -> value; nested messages stay bytes."""
    found: dict[int, object] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
        else:
            code, size = {1: ("<d", 8), 5: ("<f", 4)}[key & 7]
            [value], at = struct.unpack_from(code, data, at), at + size
        found[key >> 3] = value
    return found


def scalars(folder: Path) -> list[tuple[str, int, float, float]]:
    """Name, step, value and time of every scalar in the only event file of a folder."""
    [file] = folder.iterdir()
    found = []
    for event in map(fields, frames(file.read_bytes())):
        if 5 in event:
            value = fields(fields(event[5])[1])
            found.append((value[1].decode(), event.get(2, 0), value[2], event[1]))
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
