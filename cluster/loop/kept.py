"""Answers that are kept as they come, so that asking goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.loop.asking import Reply
from videothinker.errors import InputError
from videothinker.evaluation.protocol import asked_in
from videothinker.files import atomic_write, disk_errors, read_lines, write_json
from videothinker.progress import ProgressLine
from videothinker.types import Failure, Question
from videothinker.video.views import View


class Answers:
    """OUT/answers.jsonl: one line an answer, of one model on one benchmark only."""

    def __init__(self, out: Path, identity: dict[str, Any], returned: str = "") -> None:
        """`returned`: what is put before each (`Protocol.returned`)."""
        self._returned = returned
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        origin = out / "origin.json"
        if origin.is_file():
            refuse_mixture(out, json.loads(origin.read_text()), identity)
        write_json(origin, identity)
        self._file = out / "answers.jsonl"
        self._skipped = out / "skipped.jsonl"
        kept = read_lines(self._file)
        self.known = {line["id"]: line["completion"] for line in kept}
        self.lines = kept
        # a torn last line must not be glued to the next one
        atomic_write(self._file, "".join(json.dumps(line) + "\n" for line in kept))
        self._skipped.unlink(missing_ok=True)  # what is in it is tried again

    def add(self, reply: Reply) -> None:
        """Keep an answer, or the reason why there is none."""
        name, outcome = reply.question.id, reply.outcome
        if isinstance(outcome, Failure):
            path = self._skipped
            line: dict[str, Any] = {"question_id": name, "reason": outcome.reason}
        else:
            said = outcome.completions[0]
            self.known[name] = self._returned + said.text
            path = self._file
            line = {"id": name, "completion": self.known[name]}
            line |= {"tokens": len(said.token_ids), "cut_off": said.finish_reason == "length"}
            self.lines.append(line)
        with disk_errors(path), path.open("a") as file:
            file.write(json.dumps(line) + "\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """Questions asked in one way, and where their answers are kept."""

    questions: Sequence[Question]
    answers: Answers
    view: View = "video"
    name: str = ""
    """What the line of progress says of it."""

    def waiting(self) -> list[Question]:
        """What is not answered yet."""
        return [question for question in self.questions if question.id not in self.answers.known]


def answer_all(title: str, passes: Sequence[Pass], ask: Callable[[Pass], Iterable[Reply]]) -> None:
    """Asks what is not answered yet, pass by pass, with a line of progress."""
    done, total = 0, sum(len(one.waiting()) for one in passes)
    with ProgressLine(title) as progress:
        progress(done, total)
        for one in passes:
            for reply in ask(one):
                one.answers.add(reply)
                done += 1
                progress(done, total, one.name)


DEPENDED_ON = ("digest", "benchmark", "questions", "subtitles")
"""Parts of an identity, with the protocol."""


def refuse_mixture(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Answers given under other circumstances are not this result's."""
    earlier, asked = _flat(before), _flat(now)
    for key in {**earlier, **asked}:
        if earlier.get(key) != asked.get(key):
            raise InputError(
                f"{out}: holds answers with another {key} ({earlier.get(key)}, now"
                f" {asked.get(key)}); give a new --out folder"
            )


def _flat(identity: dict[str, Any]) -> dict[str, Any]:
    """What answers depend on, each under a name of its own; not where it lay."""
    held = {key: identity.get(key) for key in DEPENDED_ON}
    return held | asked_in(identity.get("protocol", {}))


def digest_of(questions: Sequence[Question]) -> str:
    """By which the same questions are known again."""
    return hashlib.sha256(repr(list(questions)).encode()).hexdigest()
