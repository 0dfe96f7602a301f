"""CLEVRER's files as they are distributed: a long list of questions, one annotation a video."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from videothinker.data.clevrer.records import (
    UNCHANGED,
    Annotation,
    AskedQuestion,
    Counterfactual,
    Identity,
    SceneEntry,
    checked,
    read_question,
    within,
)
from videothinker.data.clevrer.rules import SHORT_CLIPS, SHOWN_FRAMES
from videothinker.data.json_values import unusual, whole_characters
from videothinker.errors import InputError
from videothinker.video.frames import source_of

CHUNK = 1 << 20
"""Characters of a question file that are read at once."""
LARGEST_ANNOTATION = 64 << 20
"""Bytes; a real one has some 300 thousand."""
LONGEST_SCENE = 16 << 20
"""Characters; a real one has some 15 thousand. Bounds how far a broken file is read on."""

SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()
AGAIN = "Download or unpack it again."


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedScene:
    """A video and what is asked about it."""

    index: int
    video: str
    """Name of the video's file."""
    asked: dict[int, AskedQuestion]
    """Its counterfactual questions by question_id."""
    other_questions: int
    """How many questions of other kinds it has."""

    @property
    def annotation(self) -> str:
        """Name of the annotation's file."""
        return f"annotation_{self.index:05d}.json"


def read_scenes(path: Path) -> Iterator[AskedScene]:
    """A question file, one video at a time; the file is never in memory as a whole."""
    seen: dict[int | str, int] = {}
    for place, entry in enumerate(stream_list(path)):
        with within(f"{path}: entry {place}"):
            scene = checked(SceneEntry, entry)
        video = scene.video_filename or f"video_{scene.scene_index:05d}.mp4"
        with within(f"{path}: scene {scene.scene_index}"):
            for name, value in (("scene_index", scene.scene_index), ("video_filename", video)):
                if seen.setdefault(value, place) != place:
                    raise InputError(
                        f"{name}: {value} is entry {seen[value]} already, and now entry {place}. "
                        "Keep one of them."
                    )
            yield _scene(scene, video)


def _scene(scene: SceneEntry, video: str) -> AskedScene:
    asked: dict[int, AskedQuestion] = {}
    seen: set[int] = set()
    for place, question in enumerate(scene.questions):
        with within(f"question {question.get('question_id', f'number {place}')}"):
            identity = checked(Identity, question)
            if identity.question_id in seen:
                raise InputError("question_id: given twice in this scene. Keep one of them.")
            seen.add(identity.question_id)
            if identity.question_type == "counterfactual":
                asked[identity.question_id] = _counterfactual(question)
    return AskedScene(
        index=scene.scene_index,
        video=video,
        asked=asked,
        other_questions=len(scene.questions) - len(asked),
    )


def _counterfactual(question: dict[str, Any]) -> AskedQuestion:
    record = checked(Counterfactual, question)
    ids = [choice.choice_id for choice in record.choices]
    if None in ids or len(set(ids)) < len(ids):
        raise InputError(f"choices.choice_id: missing or given twice. {UNCHANGED}")
    in_order = sorted(record.choices, key=lambda choice: choice.choice_id or 0)
    return read_question(record.model_copy(update={"choices": in_order}))


def read_annotation(path: Path, scene_index: int) -> Annotation:
    """A video's annotation, which must be the one of this scene."""
    with within(str(path)), _readable():
        if not path.is_file() or path.stat().st_size > LARGEST_ANNOTATION:
            raise InputError(f"not a file of at most {LARGEST_ANNOTATION} bytes. {AGAIN}")
        annotation = checked(Annotation, path.read_bytes())
        if annotation.scene_index != scene_index:
            raise InputError(
                f"scene_index: {annotation.scene_index}, expected {scene_index} as in the file's "
                f"name. {AGAIN}"
            )
        return annotation


def shown_frames(scene_index: int, video: Path) -> int:
    """How many frames a video has; only those of known short clips are asked.

    Their own count matters because other worlds number their videos like CLEVRER. The known length
    stands in where the file does not say, or PyAV is not installed.
    """
    if scene_index not in SHORT_CLIPS:
        return SHOWN_FRAMES
    return min(_counted_frames(video) or SHORT_CLIPS[scene_index], SHOWN_FRAMES)


def _counted_frames(video: Path) -> int:
    """The frame count in a video's header; 0 if there is none."""
    try:
        import av
    except ModuleNotFoundError:
        return 0
    try:
        source_of(video)  # a pipe would be waited for
        with av.open(str(video)) as container:
            return int(container.streams.video[0].frames)
    except (av.FFmpegError, InputError, OSError, IndexError):
        return 0


def find_files(folder: Path, names: Sequence[str], what: str) -> dict[str, Path]:
    """Where each file is: flat, in folders of 1000, or under one folder for both splits.

    CLEVRER numbers its videos across splits, so a name identifies a file wherever it lies. Links
    are followed, each folder once: they may lead back to where one comes from.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of {what}s. Unpack CLEVRER's {what}s there.")
    wanted = set(names)
    found: dict[str, Path] = {}
    entered: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        here = os.stat(parent)
        if (here.st_dev, here.st_ino) in entered:
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        for name in wanted.intersection(files):
            if name in found:
                raise InputError(
                    f"{folder}: {name} is there twice, as {found[name]} and in {parent}. Remove "
                    "one of them."
                )
            found[name] = Path(parent, name)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(names)} {what}s that are asked about are "
            f"missing, the first is {missing[0]}. Unpack the whole split there (flat or in folders "
            "of 1000), or give the question file of these videos."
        )
    return found


def stream_list(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, read a piece at a time; what is not JSON is named by its line."""
    with within(str(path)), _readable(), path.open(encoding="utf-8-sig") as file:
        window = _Window(file)
        window.take("[", "a list of scenes")
        while window.peek() != "]":
            yield window.value()
            if window.peek() != ",":
                break
            window.take(",", "a comma")
            if window.peek() == "]":
                raise window.error("a scene in braces")
        window.take("]", "a comma or the end of the list")
        if window.peek():
            raise window.error("nothing after the list")


@contextmanager
def _readable() -> Iterator[None]:
    """A file that cannot be read is bad input."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}). Give CLEVRER's file.") from error


class _Window:
    """A piece of a text file: it grows at its end and is cut off at its start.

    By hand, since ijson 3.6 keeps less: its quick backend (as quick as this one) tells no line,
    makes "?" of half a character without a word, refuses no depth; its other one takes 40 times as
    long.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._line = 1
        """Of the window's start, counting from 1."""

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            space = SPACE.match(self._text, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow():
                return ""

    def take(self, character: str, meaning: str) -> None:
        """Goes past a character that has to be there."""
        if self.peek() != character:
            raise self.error(meaning)
        self._at += 1

    def value(self) -> dict[str, Any]:
        """The object that starts here."""
        if self.peek() != "{":
            raise self.error("a scene in braces")
        start = self._at
        while True:
            try:
                value, self._at = DECODER.raw_decode(self._text, start)
            except json.JSONDecodeError as error:
                line = self._line + error.lineno - 1
                if len(self._text) - start < LONGEST_SCENE and self._grow():
                    start = self._at
                    continue  # it may only have been cut off
                raise InputError(f"line {line}: not JSON: {error.msg}. {AGAIN}") from error
            except (ValueError, RecursionError) as error:  # what json does not call a mistake
                raise InputError(f"line {self._line}: {unusual(error)}. {AGAIN}") from error
            assert isinstance(value, dict)
            text = self._text[start : self._at]
            return whole_characters(value, text, f"line {self._line}")

    def error(self, expected: str) -> InputError:
        """For something else than what should be here."""
        found = self.peek()
        line = self._line + self._text.count("\n", 0, self._at)
        there = repr(found) if found else "the end of the file"
        return InputError(f"line {line}: expected {expected}, found {there}. {AGAIN}")

    def _grow(self) -> bool:
        """Doubles what is ahead, so that a long value is not parsed from its start too often."""
        try:
            more = self._file.read(max(CHUNK, len(self._text) - self._at))
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n")
            raise InputError(f"after line {line}: not UTF-8 text. {AGAIN}") from error
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + more
        self._at = 0
        return bool(more)
