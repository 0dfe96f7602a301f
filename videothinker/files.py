"""Files that appear whole or not at all, and files that grow by whole lines."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from videothinker.errors import InputError, VideoThinkerError

if TYPE_CHECKING:
    import pyarrow as pa

LINE_BYTES = 4096
"""Of a JSON line that is long."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full disk or a refused write into a message that says what to free or change."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VideoThinkerError(
                f"{path}: no space left on the disk. Free some (older runs, rollouts/*.parquet), "
                "then go on with `videothinker train --resume RUN`."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to."
            ) from error
        raise


def atomic_write(path: Path, content: bytes | str | Iterable[bytes]) -> None:
    """Writes a file, from its parts if it is long, so that a reader, or a crash, sees the old
    content or the new one.

    The content is flushed to the disk before the rename; otherwise a power cut could leave the new
    name with no content behind it.
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
        finally:
            partial.unlink(missing_ok=True)


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
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("r+b") as file:
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            whole = data.rfind(b"\n") + 1
        file.truncate(whole)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read a piece at a time."""
    with path.open("rb") as file:
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

    `replace`: whatever OUT held goes, and first what a writer left that was killed. For folders
    that have one writer at a time: of two, the second would sweep up the first one's work.
    """
    if replace:
        for abandoned in out.parent.glob(f".{escape(out.name)}.????????.partial"):
            shutil.rmtree(abandoned)
    else:
        require_new(out)
    with partial_folder(out) as partial:
        yield partial
        with partial_folder(out) as old:
            if replace and out.exists():
                out.rename(old)  # removing it takes longer, and would leave half of it in a crash
            partial.rename(out)


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
