"""A benchmark's file, whichever kind of it, as questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks import BY_NAME, REFERENCE_FIELDS, Benchmark, named
from videothinker.evaluation.benchmarks.clevrer import prepared
from videothinker.evaluation.benchmarks.records import LAYOUTS, FileRecord
from videothinker.types import Question


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The questions of a file."""

    questions: list[Question]
    layout: str
    """"prepared", or whose file it is: "reference" or "official"."""
    left_out: Mapping[str, int]
    """Kind of question that has no options -> how many were left out, such as "open-ended"."""
    places: tuple[int, ...] = ()
    """Of each question among the file's records, from 0."""


def load(benchmark: str, path: Path | str) -> list[Question]:
    """The questions of a benchmark's file, or of its folder of kind."""
    return read(benchmark, path).questions


def read(benchmark: str, path: Path | str) -> Loaded:
    """The same, with the kind of file, told by its content, and what was left out of it."""
    path, kind = Path(path), named(benchmark)
    if kind.release is None:
        return Loaded(questions=prepared(path), layout="prepared", left_out={})
    records = _in_folder(benchmark, kind, path) if path.is_dir() else kind.open(path)
    layout = _layout(benchmark, kind, records[0])
    reader = (kind.reference if layout == "reference" else None) or kind.release
    questions: list[Question] = []
    places: list[int] = []
    left_out: Counter[str] = Counter()
    known: dict[str, FileRecord] = {}
    for place, (record, question) in enumerate(zip(records, reader(records), strict=True)):
        if isinstance(question, str):
            left_out[question] += 1
            continue
        if question.id in known:
            raise record.problem(
                "id", f"{question.id!r} was used before, by {known[question.id].where}. Keep one."
            )
        known[question.id] = record
        questions.append(question)
        places.append(place)
    if not questions:
        raise InputError(f"{path}: none of {len(records)} records is multiple choice. {LAYOUTS}")
    return Loaded(questions=questions, layout=layout, left_out=dict(left_out), places=tuple(places))


def _in_folder(benchmark: str, kind: Benchmark, folder: Path) -> list[FileRecord]:
    """The records of a release that is a folder: MVBench's 20 files, TempCompass's four."""
    if not kind.stems:
        raise InputError(f"{folder}: a folder; {benchmark} is one file. Give that file.")
    paths = [folder / f"{stem}.json" for stem in kind.stems]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(paths)} files of {benchmark} are not there, the "
            f"first is {missing[0]}. Give the folder that holds them."
        )
    return [record for path in paths for record in kind.open(path)]


def _layout(benchmark: str, kind: Benchmark, first: FileRecord) -> str:
    """The kind of file whose fields the first record has, all or most of them."""
    if kind.reference and "solution" in first.fields:  # only the reference's files have it
        others = [] if kind.signature in first.fields else BY_NAME.items()
        for other, its in others:
            if its.signature and its.signature in first.fields:
                raise InputError(
                    f"{first.where}: {its.signature}: this field belongs to {other}, not to "
                    f"{benchmark}. Give the benchmark as {other}, or another file."
                )
        return "reference"
    layouts = {"reference": REFERENCE_FIELDS} if kind.reference else {}
    layouts["official"] = kind.release_fields
    share = {
        name: len(fields & first.fields.keys()) / len(fields) for name, fields in layouts.items()
    }
    best = max(share, key=lambda name: share[name])
    rest = [value for name, value in share.items() if name != best]
    if share[best] <= 0.5 or share[best] in rest:
        expected = "; or ".join(
            f"{', '.join(sorted(fields))} ({name})" for name, fields in layouts.items()
        )
        raise InputError(
            f"{first.where}: the kind of file cannot be told from the fields "
            f"{', '.join(first.fields) or '(none)'}. A {benchmark} file has: {expected}. {LAYOUTS}"
        )
    return best
