"""What is said in a video, from the .srt file of its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from videothinker.errors import InputError
from videothinker.evaluation.protocol import Protocol
from videothinker.method.prompts import Spoken
from videothinker.types import Question

TIME = r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})"
CUE = re.compile(rf"{TIME}\s*-->\s*{TIME}[^\n]*\n(.*?)(?=\n\s*\n|\Z)", re.DOTALL)
MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")


def require_subtitles(protocol: Protocol, folder: Path | None) -> None:
    """A folder where the protocol asks with them, and none where it does not."""
    if protocol.subtitled and folder is None:
        raise InputError(
            f"--protocol {protocol.name}: asks with subtitles. Name the folder of the .srt files:"
            " --subtitles DIR"
        )
    if folder is not None and not protocol.subtitled:
        raise InputError(
            "--subtitles: has no effect, {subtitles} is in no text of the protocol"
            f" {protocol.name}. Leave it out, or name another protocol"
        )
    if folder is not None and not any(folder.glob("*.srt")):
        raise InputError(f"{folder}: no .srt file in it; --subtitles names their folder")


def spoken(folder: Path, question: Question) -> tuple[Spoken, ...]:
    """All that is said in a question's video; nothing where it has no file."""
    return _cues(folder / f"{PurePosixPath(question.video).stem}.srt")


def said_in(folder: Path, questions: Sequence[Question]) -> str:
    """Address by content of what is said in all of them."""
    content = hashlib.sha256()
    for question in questions:
        content.update(repr(spoken(folder, question)).encode())
    return content.hexdigest()


@lru_cache(maxsize=64)
def _cues(file: Path) -> tuple[Spoken, ...]:
    if not file.is_file():
        return ()
    written = file.read_text(encoding="utf-8-sig", errors="replace").replace("\r\n", "\n")
    return tuple(
        Spoken(start=_seconds(times[:4]), end=_seconds(times[4:]), text=text)
        for *times, words in CUE.findall(written)
        if (text := " ".join(MARKUP.sub("", words).split()))
    )


def _seconds(parts: list[str]) -> float:
    hours, minutes, seconds, fraction = parts
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
