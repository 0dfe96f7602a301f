"""From a file of one's own to the questions that training reads, or to all that is wrong in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from videothinker.data.own.fields import Field, Names, questions
from videothinker.data.own.rows import count, files_of, rows
from videothinker.data.questions import SCHEMA, as_table
from videothinker.errors import ConfigError, InputError
from videothinker.files import disk_errors, partial_folder, replace_files, write_json
from videothinker.method.prompts import training_text
from videothinker.types import AnswerKind, Question
from videothinker.video.files import find
from videothinker.video.frames import is_picture

AT_ONCE = 10_000
"""Questions of a row group."""
TOLD_EVERY = 1000
"""Rows between two words on how far it is."""
LISTED = 50
"""Problems that are told one by one."""
BIAS = "observational"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file of one's own is read."""

    source: str
    """What the files are called together."""
    files: Sequence[Path]
    videos: Path
    names: Names
    kind: AnswerKind | None = None
    """Of every answer, whatever it looks like."""

    def asked(self) -> Iterator[Question | str]:
        """Question after question, or what is wrong with a row: where, field and remedy."""
        ids: dict[int, str] = {}
        there: dict[str, str] = {}
        for number, row in enumerate(rows(self.files), start=1):
            if row.problem:
                yield f"{row.where}: {row.problem}"
                continue
            try:
                for question in questions(row.fields, number, self.names, self.kind):
                    for path in question.shows:
                        if path not in there:
                            there[path] = self._absent(path)
                    wrong = next(filter(None, map(there.get, question.shows)), _clip(question))
                    first = ids.setdefault(hash(question.id), row.where)
                    if first != row.where:
                        wrong = f"id: {question.id!r} was used before, at {first}"
                    yield f"{row.where}: {wrong}" if wrong else question
            except InputError as error:
                yield f"{row.where}: {error}"

    def _absent(self, video: str) -> str:
        if ".." in PurePosixPath(video).parts:
            return f"video: {video} leads out of {self.videos}"
        if find(self.videos, video) is None:
            return f"video: no file {video} in {self.videos}"
        return ""


def reading(
    source: str | Path,
    videos: Path,
    called: Mapping[Field, str | None],
    kind: AnswerKind | None = None,
    files: Sequence[Path] | None = None,
) -> Reading:
    """`called`: fields whose names do not say what they are. `files`: those of a source that is
    neither a file nor a folder."""
    if not videos.is_dir():
        raise InputError(f"--videos {videos}: no such folder. Give the one that holds the videos.")
    there = files_of(Path(source)) if files is None else files
    return Reading(source=str(source), files=there, videos=videos, names=Names(called), kind=kind)


def look(own: Reading, count: int) -> str:
    """How the first questions will be asked."""
    parts = []
    for one in islice(own.asked(), count):
        if isinstance(one, str):
            parts.append(f"not usable: {one}")
            continue
        clip = "" if one.start is None and one.end is None else f" ({one.start} to {one.end} s)"
        shows = ", ".join(one.shows) or "words alone"
        parts.append(
            f"{one.id}: {shows}{clip}\n\n{training_text(one)}\n\nright: {one.answer}"
            f" ({one.kind}{f', {one.category}' if one.category else ''})"
        )
    if not parts:
        raise InputError(f"{own.source}: holds no question")
    return f"\n\n{'-' * 40}\n\n".join(parts)


def prepare(
    own: Reading,
    out: Path,
    leave_out: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Writes questions.parquet, those of them for a bias model and stats.json into OUT, all or
    nothing; returns the statistics.

    What is wrong is told at once, with all of its places. `leave_out`: such rows are listed in
    left_out.jsonl, and the others kept.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file. Name a folder.")
    problems: list[str] = []
    wrong, total = 0, count(own.files)
    with disk_errors(out), partial_folder(out) as partial, ExitStack() as open_files:
        written = _Written(open_files, partial)
        left_out = open_files.enter_context((partial / "left_out.jsonl").open("w"))
        for done, one in enumerate(own.asked(), start=1):
            if isinstance(one, str):
                wrong += 1
                problems += [one] if len(problems) < LISTED else []
                left_out.write(json.dumps({"reason": one}) + "\n")
            else:
                written.add(one)
            if progress and done % TOLD_EVERY == 0:
                progress(done, max(done + 1, total))
        open_files.close()
        if (wrong and not leave_out) or not written.kinds:
            raise ConfigError(_told(own.source, problems, wrong, leave_out))
        stats = {
            "questions": written.kinds.total(),
            "videos": len(written.videos),
            "by_kind": dict(sorted(written.kinds.items())),
            "by_category": dict(sorted(written.categories.items())),
            "left_out": wrong,
            "source": own.source,
        }
        write_json(partial / "stats.json", stats)
        empty = {"bias.parquet": not written.categories[BIAS], "left_out.jsonl": not wrong}
        stale = [name for name, is_empty in empty.items() if is_empty]
        for name in stale:
            (partial / name).unlink()
        replace_files(partial, out, last="stats.json", stale=stale)
    if progress:
        progress(done, done)
    return stats


def _clip(question: Question) -> str:
    start, end, shows = question.start, question.end, question.shows
    if (start, end) != (None, None) and (not shows or is_picture(Path(shows[0]))):
        return "start: has no effect, since no video is shown first. Leave start and end out"
    late = start is not None and end is not None and start >= end
    return f"end: {end} s is not after the start at {start} s" if late else ""


def _told(source: str, problems: list[str], wrong: int, leave_out: bool) -> str:
    if not wrong:
        return f"{source}: holds no question"
    more = [f"... and {wrong - len(problems)} more"] if wrong > len(problems) else []
    remedy = (
        "no question is left"
        if leave_out
        else "mend them, or leave these rows out and list them in OUT/left_out.jsonl: --leave-out"
    )
    lines = [f"{source}: {wrong} rows cannot be used:", *problems, *more, remedy]
    return "\n  - ".join(lines[:-1]) + f"\n{lines[-1]}"


class _Written:
    """Questions on their way into both files, some thousand at a time, and what they count to."""

    def __init__(self, open_files: ExitStack, folder: Path) -> None:
        self.kinds: Counter[str] = Counter()
        self.categories: Counter[str] = Counter()
        self.videos: set[str] = set()
        self._files = [
            open_files.enter_context(pq.ParquetWriter(folder / name, SCHEMA))
            for name in ("questions.parquet", "bias.parquet")
        ]
        self._waiting: list[Question] = []
        open_files.callback(self._write)

    def add(self, question: Question) -> None:
        self._waiting.append(question)
        if len(self._waiting) == AT_ONCE:
            self._write()

    def _write(self) -> None:
        table = as_table(self._waiting)
        for file, part in zip(self._files, (table, _observational(table)), strict=True):
            if part.num_rows:
                file.write_table(part)
        self.kinds.update(question.kind for question in self._waiting)
        self.categories.update(question.category for question in self._waiting)
        self.videos.update(path for question in self._waiting for path in question.shows)
        self._waiting = []


def _observational(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["category"], BIAS))
