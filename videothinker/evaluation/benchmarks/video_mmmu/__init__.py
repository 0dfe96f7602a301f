"""Video-MMMU: three questions about each of 300 lectures, one a track; some ask for a number."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from videothinker.errors import InputError
from videothinker.evaluation.benchmarks.choices import Options, letter_of, read_options
from videothinker.evaluation.benchmarks.records import FileRecord, listed, parse
from videothinker.evaluation.rules import final
from videothinker.types import Question

TRACKS = ("Perception", "Comprehension", "Adaptation")
STEMS = tuple(f"{track.lower()}_video" for track in TRACKS)
FOLDERS = {
    "Art": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Engineering": (
        "Agriculture",
        "Architecture_and_Engineering",
        "Computer_Science",
        "Electronics",
        "Energy_and_Power",
        "Materials",
        "Mechanical_Engineering",
    ),
    "Humanities": ("History", "Literature", "Psychology", "Sociology"),
    "Medicine": (
        "Basic_Medical_Science",
        "Clinical_Medicine",
        "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy",
        "Public_Health",
    ),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
}
"""The folder of a subject's videos -> the subjects."""
LEADS = (
    *("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ", "are "),
    *("in total ", "total ", "identify ", "recognize ", "calculated as ", "counted as "),
    *("measured as ", "observed as ", "concluded as ", "found to be ", "equals "),
    *("determined to be ", "number of ", "value is ", "adds up to ", "have ", "has "),
)
"""What a stated result follows; the order matters where a line ends with one of them."""
FIGURES = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
"""With commas, with an exponent, plain; each is looked for by itself."""


def opened(path: Path) -> list[FileRecord]:
    """One track's records, which the release has in {track: {number: record}}.

    A Parquet file lies in a folder that is called like its track.
    """
    entries = parse(path)
    by_track = entries if isinstance(entries, dict) else {path.parent.name: entries}
    unknown = next((track for track in by_track if track not in TRACKS), None)
    if unknown is not None or not by_track:
        raise InputError(
            f"{path}: the track is not known ({unknown!r} is none of {', '.join(TRACKS)}). Give "
            "the file as published, or put it into a folder that is called like its track."
        )
    return [
        record
        for track, nested in by_track.items()
        for record in listed(
            path, list(nested.values()) if isinstance(nested, dict) else nested, {"track": track}
        )
    ]


def release(records: Sequence[FileRecord]) -> Iterator[Question | str]:
    """The folder of three files; the category is the track, then the subject.

    Only the track of adaptation says what type a question is of, and not of all: those without
    options are the open ones.
    """
    folders = {subject: folder for folder, subjects in FOLDERS.items() for subject in subjects}
    for record in records:
        name, track = record.text("id"), record.text("track")
        subject = "_".join(name.split("_")[1:-1])
        if subject not in folders:
            raise record.problem("id", f"{name!r} names no subject of Video-MMMU. Correct it.")
        options = _options(record)
        yield Question(
            id=f"{track}/{name}",
            video=f"VideoMMMU/{folders[subject]}/{name}.mp4",
            text=record.text("question"),
            options=options,
            answer=letter_of(record, "answer", options) if options else record.text("answer"),
            category=f"{track}/{subject}",
            kind="multi" if options else "text",
        )


def _options(record: FileRecord) -> Options:
    """Without letters, but for one question of 900 whose options bring them along."""
    texts = record.get("options")
    if texts == []:
        return ()
    lettered = isinstance(texts, list) and all(
        str(text).startswith(f"{chr(ord('A') + place)}.") for place, text in enumerate(texts)
    )
    return read_options(record, "options", lettered=lettered)


def rule(completion: str, question: Question) -> bool:
    """A letter the way it is most clearly marked; of open answers what the sentences end with."""
    text = final(completion)
    if question.options:
        return _letter(text, question.options) == question.answer
    right = _values(question.answer)
    return any(
        one in right
        if isinstance(one, float)
        else any(isinstance(other, str) and other in one for other in right)
        for tail in _results(text)
        for one in _values(tail)
    )


def _letter(text: str, options: Options) -> str | None:
    """Of several letters marked alike the last; of several options in words the last, too."""
    for character in ",.!?;:'":
        text = text.strip(character)
    text = f" {text} "
    letters = [letter for letter, _ in options]
    for marks in (("{}.", "{}:"), ("({})",), ("{} ",)):
        found = [one for mark in marks for one in letters if mark.format(one) in text]
        if found:
            used = next(mark for mark in marks if any(mark.format(x) in text for x in found))
            last = " {} " if used == "{} " else used
            return max(found, key=lambda one: text.rfind(last.format(one)))
    if len(text.split()) <= 5:
        return None
    said = text.lower()
    places = {letter: said.rfind(option.lower()) for letter, option in options}
    named = {letter: place for letter, place in places.items() if place >= 0}
    return max(named, key=lambda letter: named[letter]) if named else None


def _results(text: str) -> list[str]:
    """What the lines of an open answer end with after words such as "is", and figures in that."""
    lines = text.strip().strip(".").lower().split("\n")
    tails = []
    for number, line in enumerate(lines, start=1):
        shortest = ""
        for lead in [*LEADS, "="] if number == len(lines) else LEADS:
            end = line.split(lead)[-1].strip()
            if lead in line and (not shortest or len(end) < len(shortest)):
                shortest = end
        tails.append(shortest)
    tails = [tail for tail in tails if tail and tail not in ":,.!?;'"] or ["\n".join(lines)]
    return [*tails, *(one for tail in tails for form in FIGURES for one in form.findall(tail))]


def _values(text: str) -> list[float | str]:
    """A number to two decimals, or lower-case words; a single character needs a space beside it."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
        return [f" {text}", f"{text} "] if len(text) == 1 else [text]
