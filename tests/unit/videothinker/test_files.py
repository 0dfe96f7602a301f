"""Files and folders that appear whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from videothinker.errors import InputError, VideoThinkerError
from videothinker.files import atomic_write, cut_torn_line, require_new, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(out: Path, name: str = "new", *, replace: bool = False) -> None:
    with whole_folder(out, replace=replace) as partial:
        (partial / name).touch()


def test_a_failed_write_leaves_the_old_file_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_write(tmp_path / "file", "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("videothinker.files.os.fsync", full)
    with pytest.raises(VideoThinkerError, match=r"no space left.*Free some"):
        atomic_write(tmp_path / "file", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_that_refuses_writing_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("videothinker.files.os.fsync", refused)
    with pytest.raises(InputError, match="Choose a folder you may write to"):
        atomic_write(tmp_path / "file", "new")


def test_bytes_and_missing_folders_are_written_too(tmp_path: Path) -> None:
    atomic_write(tmp_path / "a" / "b" / "file", b"\x00\xff")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"\x00\xff"


def test_a_folder_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "deep" / "out") as partial:
        (partial / "file").touch()
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path / "deep") == ["out"]
    assert names(tmp_path / "deep" / "out") == ["file"]


def test_a_whole_folder_is_as_open_to_others_as_any(tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "other").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_leaves_what_was_there_and_no_rest(tmp_path: Path, replace: bool) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if replace:
        write(out, "old")
    with pytest.raises(IsADirectoryError), whole_folder(out, replace=replace) as partial:
        partial.write_text("no file")
    assert names(tmp_path) == ["out"]
    assert names(out) == ["old"] * replace


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "out", "old")
    with pytest.raises(InputError, match="already holds something"):
        write(tmp_path / "out")
    with pytest.raises(InputError, match="already holds something"):
        require_new(tmp_path / "out" / "old")
    assert names(tmp_path / "out") == ["old"]


def test_what_appeared_in_the_meantime_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(OSError, match="not empty"), whole_folder(out):
        write(out, "theirs")
    assert names(tmp_path) == ["out"]
    assert names(out) == ["theirs"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", "old", replace=True)
    write(tmp_path / "out", "new", replace=True)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_the_next_writer_sweeps_up_after_one_that_was_killed(tmp_path: Path) -> None:
    out = tmp_path / "ou[t]"  # its name is no pattern
    code = (
        "import os, sys; from pathlib import Path; from videothinker.files import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as partial:\n"
        f"    (partial / 'half').touch(); os.kill(os.getpid(), {signal.SIGKILL:d})"
    )
    subprocess.run([sys.executable, "-c", code, out], check=False, env=dict(os.environ))
    (tmp_path / f".{out.name}.other.01234567.partial").mkdir()  # of a namesake
    assert len(names(tmp_path)) == 2
    write(out, replace=True)
    assert names(tmp_path) == [f".{out.name}.other.01234567.partial", out.name]
    assert names(out) == ["new"]


def test_a_file_without_half_a_line_is_not_opened_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("videothinker.files.os.truncate", broken)
    (tmp_path / "lines").write_text("{}\n")
    cut_torn_line(tmp_path / "lines")
    (tmp_path / "lines").write_text("{}\n{")
    with pytest.raises(VideoThinkerError, match=r"lines: the disk fails"):
        cut_torn_line(tmp_path / "lines")
