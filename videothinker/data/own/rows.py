"""A file's rows, one after the other, each with its place; a million lines take no more memory."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.data.json_values import unusual, whole_characters
from videothinker.errors import InputError

KNOWN = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
KINDS = (".parquet", ".arrow", ".jsonl", ".ndjson", ".csv", ".tsv")
"""What is looked for in a folder: other JSON there is not questions."""
SPLIT = re.compile(r"(?<![a-z])(train|validation|valid|val|dev|test)(?![a-z])")
UTF_8 = ("utf-8", "utf-8-sig")
REMEDY = f"Give a file that ends in one of {', '.join(KNOWN)}, or a folder of such files."


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRow:
    """One entry of a file."""

    where: str
    """What an error begins with."""
    fields: dict[str, Any]
    problem: str = ""
    """Why there are no fields."""


def rows(files: Sequence[Path]) -> Iterator[SourceRow]:
    """Those of all files, one after the other."""
    for file in files:
        try:
            yield from READERS[file.suffix.lower()](file)
        except UnicodeDecodeError as error:
            raise InputError(f"{file}: not UTF-8 ({error.reason}). Save it as UTF-8.") from error
        except (pa.ArrowException, OSError, csv.Error) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{file}: cannot be read ({reason}). {REMEDY}") from error


def files_of(source: Path) -> list[Path]:
    """The file itself, or those of a folder, such as a `datasets` folder."""
    if source.is_file():
        if source.suffix.lower() not in KNOWN:
            raise InputError(f"{source}: {source.suffix or 'no ending'} is not known. {REMEDY}")
        return [source]
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder. {REMEDY}")
    inside = sorted(file for file in source.rglob("*") if file.is_file())
    names = [PurePosixPath(file.relative_to(source)) for file in inside]
    return [source / name for name in of_one_kind(str(source), names, str(source))]


def of_one_kind(source: str, names: Sequence[PurePosixPath], above: str) -> list[PurePosixPath]:
    """The one file, or what there is of the first kind of file of which there is any; InputError
    where these are of several splits, which nobody means to mix."""
    if len(names) == 1 and names[0].suffix.lower() in KNOWN:
        return list(names)
    kinds = ([name for name in names if name.suffix.lower() == kind] for kind in KINDS)
    found = next(filter(None, kinds), [])
    if not found:
        raise InputError(f"{source}: holds no file of questions. {REMEDY}")
    splits: dict[str, str] = {}
    for name in found:
        if split := SPLIT.search(str(name)):
            splits.setdefault(split[1], str(name)[: split.end()])
    if len(splits) > 1:
        raise InputError(
            f"{source}: has {' and '.join(splits)} in it, and only one of them can be meant. Name"
            f" one: {above}/{next(iter(splits.values()))}"
        )
    return found


def count(files: Sequence[Path]) -> int:
    """About how many rows there are; 0 where that takes reading them."""
    total = 0
    for file in files:
        if file.suffix.lower() == ".parquet":
            with suppress(pa.ArrowException, OSError):  # whoever reads it says what is wrong
                total += pq.read_metadata(file).num_rows
        elif file.suffix.lower() in (".jsonl", ".ndjson", ".csv", ".tsv"):
            with file.open("rb") as lines:
                while piece := lines.read(2**20):
                    total += piece.count(b"\n")
    return total


def _json_lines(file: Path) -> Iterator[SourceRow]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.isspace():
                continue
            where = f"{file}: line {number}"
            if number == 1 and (encoding := json.detect_encoding(line)) not in UTF_8:
                raise InputError(f"{file}: {encoding}, not UTF-8. Save it as UTF-8.")
            torn = "" if line.endswith(b"\n") else "; the file may have been cut off there"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield _row(where, whole_characters(json.loads(text), text, where))
            except json.JSONDecodeError as error:
                yield SourceRow(where=where, fields={}, problem=f"not JSON ({error.msg}){torn}")
            except UnicodeDecodeError as error:
                mend = torn or "; save the file as UTF-8"
                yield SourceRow(where=where, fields={}, problem=f"not UTF-8 ({error.reason}){mend}")
            except (ValueError, RecursionError) as error:
                yield SourceRow(where=where, fields={}, problem=unusual(error))
            except InputError as error:
                yield SourceRow(
                    where=where, fields={}, problem=str(error).removeprefix(f"{where}: ")
                )


def _json(file: Path) -> Iterator[SourceRow]:
    text = file.read_text(encoding="utf-8-sig")
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file}: line {error.lineno}: not JSON ({error.msg}). If every line is a question of "
            "its own, name the file .jsonl."
        ) from error
    if not isinstance(entries, list):
        raise InputError(f"{file}: no list of questions. Give a list of objects, or JSON Lines.")
    for number, entry in enumerate(entries, start=1):
        yield _row(f"{file}: entry {number}", entry)


def _separated(file: Path) -> Iterator[SourceRow]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        for fields in reader:
            where = f"{file}: line {reader.line_num}"
            if None in fields or None in fields.values():
                yield SourceRow(
                    where=where, fields={}, problem="more or fewer values than the header"
                )
            else:
                yield SourceRow(where=where, fields={k: v for k, v in fields.items() if v != ""})


def _parquet(file: Path) -> Iterator[SourceRow]:
    with pq.ParquetFile(file) as table:
        yield from _numbered(file, table.iter_batches(batch_size=4096))


def _arrow(file: Path) -> Iterator[SourceRow]:
    """What `datasets` saves to a disk."""
    with pa.memory_map(str(file)) as mapped:
        yield from _numbered(file, pa.ipc.open_stream(mapped))


def _numbered(file: Path, batches: Iterator[pa.RecordBatch]) -> Iterator[SourceRow]:
    number = 0
    for batch in batches:
        for fields in batch.to_pylist():
            number += 1
            kept = {name: value for name, value in fields.items() if value is not None}
            yield SourceRow(where=f"{file}: row {number}", fields=kept)


def _row(where: str, entry: Any) -> SourceRow:
    if isinstance(entry, dict):
        return SourceRow(where=where, fields={k: v for k, v in entry.items() if v is not None})
    return SourceRow(where=where, fields={}, problem="no object with fields")


READERS = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _separated,
    ".tsv": _separated,
    ".parquet": _parquet,
    ".arrow": _arrow,
}
