"""JSON, JSON Lines and Parquet files as records that can say where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from videothinker.data.json_values import unusual, whole_characters
from videothinker.errors import InputError

LAYOUTS = "docs/benchmarks.md lists the layouts that are read."
SEVERAL = " + "
"""Between the categories of a question that has several."""


class Watched(TypedDict):
    """A question's part of its video, in seconds."""

    start: float | None
    end: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """One entry of a file."""

    where: str
    """What an error begins with: the file and the record's place in it."""
    number: int
    """Its place in the file, from 1."""
    fields: Mapping[str, Any]

    def problem(self, name: str, found: str) -> InputError:
        """An error about one field."""
        return InputError(f"{self.where}: {name}: {found}")

    def get(self, name: str) -> Any:
        """A field that must be there."""
        if self.fields.get(name) is None:
            present = ", ".join(self.fields) or "none"
            raise self.problem(name, f"the field is missing; there are: {present}. {LAYOUTS}")
        return self.fields[name]

    def text(self, name: str) -> str:
        """A field that must hold words."""
        value = self.get(name)
        if not isinstance(value, str) or not value.strip():
            raise self.problem(name, f"{_short(value)} is not a text. Give it as a JSON string.")
        return value

    def clip(self) -> Watched:
        """The part of the video to watch."""
        start, end = self._seconds("start"), self._seconds("end")
        if start is not None and end is not None and start >= end:
            raise self.problem("end", f"{end} s is not after the start at {start} s.")
        return Watched(start=start, end=end)

    def _seconds(self, name: str) -> float | None:
        value = self.fields.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.problem(name, f"{_short(value)} is not a time in seconds, 0 or later.")
        return float(value)


def parse(path: Path) -> Any:
    """What a file holds; a list for JSON Lines and Parquet."""
    try:
        if path.suffix == ".parquet":
            with path.open("rb") as file:
                return pq.read_table(file).to_pylist()
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8. Save it as UTF-8.") from error
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise InputError(f"{path}: {error.strerror}. Give the benchmark's file.") from error
        found = _short(str(error))
        raise InputError(f"{path}: not a Parquet file ({found}). Fetch it again.") from error
    if not text.strip():
        raise InputError(f"{path}: the file is empty. Fetch it again.")
    if path.suffix != ".jsonl":
        return _json(text, path, 1)
    lines = enumerate(text.split("\n"), start=1)
    return [_json(line, path, number) for number, line in lines if line.strip()]


def in_file(path: Path, extra: Mapping[str, Any] = {}) -> list[FileRecord]:
    """The records of a file that is a list of objects."""
    return listed(path, parse(path), extra)


def listed(path: Path, entries: object, extra: Mapping[str, Any] = {}) -> list[FileRecord]:
    """A list of objects as records; extra fields are added to those that lack them."""
    if not isinstance(entries, list):
        raise InputError(f"{path}: {_kind(entries)} where a list of records belongs. {LAYOUTS}")
    if not entries:
        raise InputError(f"{path}: the list of records is empty. Fetch the file again.")
    found = []
    for number, entry in enumerate(entries, start=1):
        where = f"{path}: record {number}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: {_kind(entry)} where an object belongs. {LAYOUTS}")
        found.append(FileRecord(where=where, number=number, fields={**extra, **entry}))
    return found


def _json(text: str, path: Path, first_line: int) -> Any:
    where = f"{path}: line {first_line}"
    try:
        return whole_characters(json.loads(text), text, where)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        remedy = "Fetch it again, or repair that line."
        if error.msg == "Extra data" and path.suffix == ".json":
            remedy = "If every line is a record of its own, name the file .jsonl."
        raise InputError(
            f"{path}: line {line} column {error.colno}: not JSON ({error.msg}). {remedy}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: {unusual(error)}. Fetch it again.") from error


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), _short(value))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
