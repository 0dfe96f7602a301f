"""The files of the benchmarks' own releases."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.categories import (
    MVBENCH_TASKS,
    TEMPCOMPASS_TASKS,
    file_stem,
    named_task,
    tempcompass_task,
)
from videothinker.evaluation.benchmarks.choices import (
    LETTERED,
    Options,
    letter_of,
    letters_of_text,
    read_options,
)
from videothinker.evaluation.benchmarks.records import Record, parse, records
from videothinker.evaluation.benchmarks.reference import clip
from videothinker.types import Question

INFORMATION = re.compile(r"Information [A-Z]: ")


def mmvu(rows: Sequence[Record]) -> Iterator[Question | str]:
    """validation.json: 625 questions with choices, 375 open-ended ones that are left out."""
    for row in rows:
        if row.text("question_type") != "multiple-choice":
            yield row.text("question_type")
            continue
        options = read_options(row, "choices", lettered=False)
        metadata = row.get("metadata")
        yield Question(
            id=str(row.get("id")),
            video=re.sub(r"^.*?/videos/", "yale-nlp/MMVU/videos/", row.text("video")),
            text=row.text("question"),
            options=options,
            answer=letter_of(row, "answer", options),
            category=str(metadata.get("subject", "")) if isinstance(metadata, Mapping) else "",
        )


def video_holmes(rows: Sequence[Record]) -> Iterator[Question | str]:
    """test_Video-Holmes.json; its question numbers may begin anew with every video."""
    counts = Counter(str(row.get("Question ID")) for row in rows)
    for row in rows:
        options = read_options(row, "Options", lettered=False)
        number, video = str(row.get("Question ID")), row.text("video ID")
        yield Question(
            id=number if max(counts.values()) == 1 else f"{video}/{number}",
            video=f"Video-Holmes/videos/{video}.mp4",
            text=row.text("Question"),
            options=options,
            answer=letter_of(row, "Answer", options),
            category=row.text("Question Type"),
        )


def mvbench(rows: Sequence[Record]) -> Iterator[Question | str]:
    """20 files, one a task; the answer is a text, and of equal texts the last is meant."""
    for row in rows:
        task = named_task(row)
        options = read_options(row, "candidates", lettered=False)
        correct = letters_of_text(row.text("answer"), options)
        if not correct:
            raise row.problem(
                "answer", f"{row.text('answer')!r} is not among the candidates. Correct one."
            )
        yield Question(
            id=f"{file_stem(task)}/{row.number}",
            video=f"MVBench/{MVBENCH_TASKS[task]}/{row.text('video')}",
            text=row.text("question"),
            options=options,
            answer=correct[-1],
            category=task,
            **clip(row),
        )


def tempcompass(rows: Sequence[Record]) -> Iterator[Question | str]:
    """Options are lines of the question, behind letters, names such as "Caption B", or nothing."""
    counts: Counter[str] = Counter()
    for row in rows:
        lines = row.text("question").strip().split("\n")
        options, correct = _tempcompass_choice(row, lines[1:])
        task = tempcompass_task(lines[0], options, row.fields.get("mc_question"))
        dimension = row.text("dim")
        group = f"{row.text('video_id')}/{dimension}/{task}"
        counts[group] += 1
        yield Question(
            id=f"{group}/{counts[group]}",
            video=f"TempCompass/videos/{row.text('video_id')}.mp4",
            text=lines[0],
            options=options,
            answer=correct,
            category=f"{task}/{dimension}",
        )


def videomme(rows: Sequence[Record]) -> Iterator[Question | str]:
    """One Parquet file; the names of the fields are those of the reference's file."""
    for row in rows:
        options = read_options(row, "options", lettered=True)
        yield Question(
            id=row.text("question_id"),
            video=f"lmms-lab/Video-MME/data/{row.text('videoID')}.mp4",
            text=row.text("question"),
            options=options,
            answer=letter_of(row, "answer", options),
            category=f"{row.text('duration')}/{row.text('task_type')}",
        )


def _tempcompass_choice(row: Record, lines: Sequence[str]) -> tuple[Options, str]:
    """The options below a question, and the letter of the answer."""
    answer = row.text("answer")
    if not lines:
        yes_or_no = (("A", "yes"), ("B", "no"))
        return yes_or_no, _letter(row, letters_of_text(answer.lower(), yes_or_no))
    informations = [line for line in lines if INFORMATION.match(line)]
    if informations:
        lettered = [INFORMATION.sub("", line) for line in informations]
    elif LETTERED.fullmatch(lines[0]):
        lettered = list(lines)
    else:  # "Caption A: text", "Option 1: text": the place among the lines is the letter
        named = tuple(zip(ascii_uppercase, lines, strict=False))
        options = tuple((letter, line.partition(": ")[2]) for letter, line in named)
        return options, _letter(row, letters_of_text(answer, named))
    options = read_options(
        replace(row, fields={**row.fields, "question": lettered}), "question", lettered=True
    )
    match = LETTERED.fullmatch(answer)
    return options, _letter(row, [match[1]] if match and match[1] in dict(options) else [])


def _letter(row: Record, found: Sequence[str]) -> str:
    if not found:
        raise row.problem(
            "answer", f"{row.text('answer')!r} is not one of the question's options. Correct one."
        )
    return found[0]


def in_folder(benchmark: str, folder: Path) -> list[Record]:
    """The records of a release that is a folder: MVBench's 20 files, TempCompass's four."""
    if benchmark not in ("mvbench", "tempcompass"):
        raise InputError(f"{folder}: a folder; {benchmark} is one file. Give that file.")
    stems = (
        [file_stem(task) for task in MVBENCH_TASKS]
        if benchmark == "mvbench"
        else list(TEMPCOMPASS_TASKS)
    )
    missing = [stem for stem in stems if not (folder / f"{stem}.json").is_file()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(stems)} files of {benchmark} are not there, the "
            f"first is {missing[0]}.json. Give the folder that holds them."
        )
    return [row for stem in stems for row in in_file(benchmark, folder / f"{stem}.json")]


def in_file(benchmark: str, path: Path) -> list[Record]:
    """The records of one file, with what its name or its nesting says about each."""
    entries = parse(path)
    if benchmark == "tempcompass" and isinstance(entries, dict):
        return _nested(path, entries)
    tasks = {file_stem(task): task for task in MVBENCH_TASKS} if benchmark == "mvbench" else {}
    extra = {"task_type": tasks[path.stem]} if path.stem in tasks else {}
    return records(path, entries, extra)


def _nested(path: Path, entries: Mapping[str, Any]) -> list[Record]:
    """{video: {dimension: [{question, answer}]}} as a flat list."""
    rows: list[Record] = []
    for video, dimensions in entries.items():
        if not isinstance(dimensions, dict):
            raise InputError(f"{path}: {video}: not an object of lists by dimension.")
        for dimension, questions in dimensions.items():
            for row in records(path, questions):
                where = f"{path}: {video}: {dimension}: record {row.number}"
                fields = {**row.fields, "video_id": video, "dim": dimension}
                rows.append(Record(where=where, number=row.number, fields=fields))
    if not rows:
        raise InputError(f"{path}: there are no questions in it. Fetch the file again.")
    return rows
