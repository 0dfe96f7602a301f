"""Every kind of writing on a disk that is full, broken, gone or read-only, in one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from disk_places import ENDING, FAULTS, SPARED
from failing_disk import preloaded

from videothinker.errors import InputError, VideoThinkerError
from videothinker.packages import ROOT
from videothinker.run.directory import RunDirectory

REMEDIES = {
    "full": "no space left on the disk. Free some",
    "quota": "no space left on the disk. Free some",
    "no rename": "no space left on the disk. Free some",
    "read-only": "Choose a folder you may write to",
}
APPENDED = {"metrics", "skipped", "draws", "lock", "events"}
"""What grows, or is written over, rather than replaced."""


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of each place and fault, what was raised and what lay there afterwards."""
    folder = tmp_path_factory.mktemp("disk")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "disk_places.py", folder / "places"],
        env={**os.environ, "PYTHONPATH": path, **preloaded(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return results | {"said": {"": done.stderr}}


def test_every_fault_was_met_somewhere(tried: dict[str, dict[str, Any]]) -> None:
    met = {fault for place in ENDING for fault in FAULTS if tried[place][fault]["met"]}
    assert met == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", ENDING)
def test_a_fault_is_one_line_with_file_and_remedy(
    tried: dict[str, dict[str, Any]], place: str, fault: str
) -> None:
    found = tried[place][fault]
    if not found["met"]:
        assert found["error"] is None
        return
    assert found["code"] == (2 if fault == "read-only" else 1), found
    assert found["said"].startswith(found["folder"])
    assert ".partial" not in found["said"]
    assert "\n" not in found["said"]
    likely = "it may be full" if place == "torch" and fault in ("full", "quota") else None
    assert (likely or REMEDIES.get(fault, "the disk fails")) in found["said"]


@pytest.mark.parametrize("place", [*ENDING, *SPARED])
def test_nothing_half_written_has_a_name(tried: dict[str, dict[str, Any]], place: str) -> None:
    for fault, found in tried[place].items():
        left = found["left"]
        if found["met"] and place not in APPENDED:
            assert left == {}, (place, fault)
        elif found["met"] and fault in ("full", "quota", "broken"):
            assert not any(left.values()), (place, fault)


@pytest.mark.parametrize("place", SPARED)
def test_what_a_run_can_do_without_ends_nothing_and_is_said(
    tried: dict[str, dict[str, Any]], place: str
) -> None:
    assert {found["error"] for found in tried[place].values()} == {None}
    assert tried["said"][""].count(f"the run goes on without its {place}") >= len(FAULTS) - 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """One of 256 KiB, with a folder in which there is room for nothing more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here: that takes root's rights")
    try:
        (disk / "run").mkdir()
        with suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(b"x" * 4096)
        yield disk / "run"
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # torch lets go later


@pytest.mark.parametrize("place", ENDING)
def test_a_disk_that_is_really_full_is_one_line_and_keeps_nothing_half(
    small_disk: Path, place: str
) -> None:
    with pytest.raises(VideoThinkerError, match=r"no space left|it may be full") as caught:
        ENDING[place](small_disk)
    assert caught.value.exit_code == 1
    assert str(caught.value).startswith(str(small_disk))
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize("place", ENDING)
def test_a_disk_that_is_really_read_only_is_bad_input(small_disk: Path, place: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk.parent], check=True)
    with pytest.raises(InputError, match="Choose a folder you may write to") as caught:
        ENDING[place](small_disk)
    assert str(caught.value).startswith(str(small_disk))


def test_a_run_on_a_read_only_disk_is_not_gone_on_with(tmp_path: Path, small_disk: Path) -> None:
    (small_disk.parent / "rest").unlink()
    RunDirectory.create(small_disk, "name: test\n")
    subprocess.run(["mount", "-o", "remount,ro", small_disk.parent], check=True)
    with pytest.raises(InputError, match=r"status\.json: cannot be written"):
        RunDirectory.open(small_disk)


def test_a_state_is_on_the_disk_before_its_name_and_its_name_before_the_older_one_goes(
    tried: dict[str, dict[str, Any]],
) -> None:
    asked = tried["order"][""]
    partial = "state/.step_000002.partial"
    written = [f"fsync {partial}/{name}" for name in ("shard.pt", "progress.json")]
    named = asked.index("rename state/step_000002")
    assert all(one in asked[:named] for one in [*written, f"fsync {partial}"]), asked
    gone = asked.index("unlink state/step_000001/shard.pt")
    assert "fsync state" in asked[named:gone], asked
