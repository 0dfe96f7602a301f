"""Files that appear whole or not at all, and files that grow by whole lines."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import uuid4

import numpy as np

from videothinker.errors import InputError, VideoThinkerError

if TYPE_CHECKING:
    import pyarrow as pa

LINE_BYTES = 4096
"""Of a JSON line that is long."""


FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
FAILING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO)
"""What a disk says that is broken, and a share of a network that is gone."""
UNSYNCED = (errno.EINVAL, errno.ENOTSUP)
"""What file systems say that have nothing to flush for a folder."""
TOLD = re.compile(r"\(os error (\d+)\)")
"""How Rust, and so safetensors, names an error of the system."""
PARTIAL = re.compile(r"\.(.+)\.\w+\.partial")
TORCH_WRITER = "inline_container.cc"
"""Where torch notices that what it wrote is not there; it has forgotten why."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk, a failing one or a refused write into a message that says what to do."""
    try:
        yield
    except VideoThinkerError:
        raise  # it says so already
    except Exception as error:
        number, said = _of_disk(error)
        place = _place(error, path)
        if number in FULL:
            raise VideoThinkerError(
                f"{place}: no space left on the disk. Free some (older runs, rollouts/*.parquet),"
                " then give the same command again: it goes on."
            ) from error
        if number in REFUSED:
            raise InputError(
                f"{place}: cannot be written ({said}). Choose a folder you may write to."
            ) from error
        if number in FAILING:
            raise VideoThinkerError(
                f"{place}: the disk fails ({said}). What was whole before still is. Look at the"
                " disk or the share (`dmesg`, `df`), then give the same command again, or go on"
                " with a copy of the folder elsewhere."
            ) from error
        raise


def _of_disk(error: Exception) -> tuple[int | None, str]:
    """The system's number and words for what happened; None where no disk is to blame."""
    number = error.errno if isinstance(error, OSError) else None
    if found := TOLD.search(str(error)):
        number = int(found[1])
    elif isinstance(error, RuntimeError) and TORCH_WRITER in str(error):
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            return errno.ENOSPC, full
        return errno.EIO, "not all of it could be written; it may be full"
    return number, "" if number is None else os.strerror(number)


def _place(error: Exception, path: Path) -> Path:
    """What was meant, rather than the name under which it is written first."""
    if hidden := PARTIAL.fullmatch(path.name):
        path = path.with_name(hidden[1])
    named = error.filename if isinstance(error, OSError) else None
    if isinstance(named, str) and not Path(named).absolute().is_relative_to(path.parent.absolute()):
        return Path(named)
    return path


def atomic_write(path: Path, content: bytes | str | Iterable[bytes]) -> None:
    """Writes a file, from its parts if it is long, so that a reader, or a crash, sees the old
    content or the new one.

    The content is flushed to the disk before the rename, and the rename after it; otherwise a power
    cut could leave the new name with no content behind it, or the old content.
    """
    data = content.encode() if isinstance(content, str) else content
    parts = [data] if isinstance(data, bytes) else data
    with whole_file(path) as partial, partial.open("wb") as file:
        file.writelines(parts)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name of a file to write, which then takes the other's place."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
            on_disk(path.parent)
        finally:
            _swept(partial)


def _swept(partial: Path) -> None:
    """Not there any more; that it cannot be removed hides no error of why it was written."""
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def on_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, would be there after a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in UNSYNCED or not path.is_dir():
            raise
    finally:
        os.close(opened)


def all_on_disk(folder: Path) -> None:
    """The same of all that is in a folder."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            if not (file := Path(place, name)).is_symlink():
                on_disk(file)
        on_disk(Path(place))


def write_json(path: Path, content: Any) -> None:
    """For whoever reads it with eyes, too."""
    atomic_write(path, json.dumps(content, indent=2) + "\n")


def write_table(path: Path, table: pa.Table, **options: Any) -> None:
    """As Parquet, with its writer's options."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    atomic_write(path, buffer.getvalue())


def plain(value: Any) -> Any:
    """The same value in types JSON has: NumPy numbers and arrays unpacked, NaN as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where there is no file."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; none if it does not exist, and a torn last line ignored."""
    return list(each_line(path))


def each_line(path: Path) -> Iterator[dict[str, Any]]:
    """The same one after the other, of a file that may be too long to hold."""
    return (json.loads(line) for line in _whole_lines(path))


def last_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """The last of them, whatever the file's length."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size, tail = file.seek(0, os.SEEK_END), LINE_BYTES * count
        while True:
            file.seek(max(0, size - tail))
            *whole, _torn = file.read().split(b"\n")
            lines = [line for line in whole[tail < size :] if line.strip()]  # the first is cut
            if len(lines) >= count or tail >= size:
                return [json.loads(line) for line in lines[-count:]]
            tail *= 2


def keep_lines(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Drop the lines of a JSON-lines file that are not wanted, if there are any."""
    if all(map(wanted, each_line(path))):
        return
    atomic_write(path, (line for line in _whole_lines(path) if wanted(json.loads(line))))


def _whole_lines(path: Path) -> Iterator[bytes]:
    if path.is_file():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n") and line.strip())


def cut_torn_line(path: Path) -> None:
    """Takes away the half line that a process left which was killed while it wrote."""
    if not path.is_file() or not (size := path.stat().st_size):
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        whole = data.rfind(b"\n") + 1
    if whole < size:  # or a disk that takes nothing would end a run that has nothing to write
        with disk_errors(path):
            os.truncate(path, whole)


def forget_cached(file: BinaryIO) -> None:
    """What is read from here on comes from the disk, as far as it is there already."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def file_digest(path: Path, *, from_disk: bool = False) -> str:
    """SHA-256 of a file, read a piece at a time; `from_disk`: not from the system's memory."""
    with path.open("rb") as file:
        if from_disk:
            forget_cached(file)
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_new(out: Path) -> None:
    """Refuse a folder that holds something, before any work is done for it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: already holds something; name a new or empty folder")


@contextmanager
def partial_folder(out: Path) -> Iterator[Path]:
    """A new folder beside OUT, on the same disk, that is gone after the block."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out = out.absolute()  # "." has no name
    partial = out.with_name(f".{out.name}.{uuid4().hex[:8]}.partial")
    try:
        partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_folder(out: Path, *, replace: bool = False) -> Iterator[Path]:
    """A folder to write into that becomes OUT when all went well, and vanishes otherwise.

    All of it is on the disk before it has its name, and the name before what was there is removed.

    `replace`: whatever OUT held goes, and first what a writer left that was killed. For folders
    that have one writer at a time: of two, the second would sweep up the first one's work.
    """
    if replace:
        for abandoned in out.parent.glob(f".{escape(out.name)}.????????.partial"):
            shutil.rmtree(abandoned)
    else:
        require_new(out)
    with disk_errors(out), partial_folder(out) as partial:
        yield partial
        all_on_disk(partial)
        with partial_folder(out) as old:
            if replace and out.exists():
                out.rename(old)  # removing it takes longer, and would leave half of it in a crash
            partial.rename(out)
            on_disk(out.parent)  # before the old one goes


def replace_files(partial: Path, out: Path, last: str, stale: Sequence[str] = ()) -> None:
    """OUT becomes what a folder beside it is, in one step.

    Into an existing folder its files move one by one, and the one called `last` goes first and
    comes at the end: a folder that has it is complete. `stale` ones of before go, too.
    """
    if not out.exists():
        partial.rename(out)
        return
    for name in (last, *stale):
        (out / name).unlink(missing_ok=True)
    for file in sorted(partial.iterdir(), key=lambda path: path.name == last):
        file.replace(out / file.name)
