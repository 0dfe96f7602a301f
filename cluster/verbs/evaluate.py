"""A model's answers to a benchmark: the most likely ones, kept as they come, scored at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.loop.asking import Reply
from cluster.verbs.answering import answering, budget_for
from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.evaluation.benchmarks.loading import Loaded
from videothinker.files import atomic_write, disk_errors, read_lines, write_json
from videothinker.method.prompts import Wording, asked
from videothinker.model.checkpoint import model_digest, require_safe
from videothinker.progress import ProgressLine
from videothinker.report.evaluation import write_evaluation_report
from videothinker.types import Failure, Question
from videothinker.video.files import check_distinct, find
from videothinker.video.views import View

MISSING_ALLOWED = 0.1
"""Share of the videos that may be absent; above it the folder is the wrong one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What is asked of which model, and how."""

    model: Path
    benchmark: str
    data: Path
    videos: Path
    out: Path
    wording: Wording | None = None
    """None: the training prompt for CLEVRER, whose answers may be several letters; the published
    evaluation prompt, which asks for one, for the others."""
    budget: str | None = None
    """Name of a frame budget; None is what the model was trained with."""
    workers: int = 1

    def resolved_wording(self) -> Wording:
        """The wording that is really used."""
        return self.wording or ("training" if self.benchmark == "clevrer" else "evaluation")

    def loaded(self) -> Loaded:
        """The questions; refused before an engine is started where something is not as it must."""
        loaded = scores.read(self.benchmark, self.data)
        check_videos(loaded.questions, self.videos)
        require_safe(self.model)
        return loaded

    def identity(self, questions: list[Question]) -> dict[str, Any]:
        """What answers depend on, and where it lay."""
        video = budget_for(self.model, self.budget).video
        return {
            "model": str(self.model),
            "digest": model_digest(self.model),
            "benchmark": self.benchmark,
            "data": str(self.data),
            "questions": hashlib.sha256(repr(questions).encode()).hexdigest(),
            "wording": self.resolved_wording(),
            "video": video.model_dump(),
            "frames": video.max_frames,
        }

    def answer(self, verb: str, passes: Sequence[Pass]) -> None:
        """Asks what is not answered yet; a model is loaded only if there is something to ask."""
        done, total = 0, sum(len(one.waiting()) for one in passes)
        if not total:
            return
        wording, budget = self.resolved_wording(), budget_for(self.model, self.budget)
        with (
            ProgressLine(verb) as progress,
            answering(self.model, self.videos, budget, self.workers) as model,
        ):
            progress(done, total)
            for one in passes:
                replies = model.answer(
                    one.waiting(), lambda q: asked(q, wording, self.benchmark), one.view
                )
                for reply in replies:
                    one.answers.add(reply)
                    done += 1
                    progress(done, total, one.name)


def run(this: Evaluation) -> dict[str, Any]:
    """Answer what is not answered yet, then score everything; safe to interrupt and repeat."""
    loaded = this.loaded()
    questions, identity = loaded.questions, this.identity(loaded.questions)
    answers = Answers(this.out, identity)
    this.answer("evaluate", [Pass(questions=questions, answers=answers)])
    identity |= {"layout": loaded.layout, "left_out": dict(loaded.left_out)}
    result = identity | results(this.benchmark, questions, answers.known)
    write_json(this.out / "result.json", result)
    write_evaluation_report(this.out)
    return result


def results(benchmark: str, questions: list[Question], answers: dict[str, str]) -> dict[str, Any]:
    """Both scorings; what was left out counts as wrong."""
    completions = [answers.get(question.id, "") for question in questions]
    result = {
        "unanswered": sum(question.id not in answers for question in questions),
        **scores.score(benchmark, questions, completions),
        "official": scores.score(benchmark, questions, completions, "official"),
    }
    if {question.category for question in questions if question.answer} <= set(scores.KINDS):
        result["diagnosis"] = scores.diagnose(questions, completions)
    return result


class Answers:
    """OUT/answers.jsonl: one line an answer, of one model on one benchmark only."""

    def __init__(self, out: Path, identity: dict[str, Any]) -> None:
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
        # a torn last line must not be glued to the next one
        atomic_write(self._file, "".join(json.dumps(line) + "\n" for line in kept))
        self._skipped.unlink(missing_ok=True)  # what is in it is tried again

    def add(self, reply: Reply) -> None:
        """Keep an answer, or the reason why there is none."""
        name, outcome = reply.question.id, reply.outcome
        if isinstance(outcome, Failure):
            path, line = self._skipped, {"question_id": name, "reason": outcome.reason}
        else:
            self.known[name] = outcome.completions[0].text
            path, line = self._file, {"id": name, "completion": self.known[name]}
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


def refuse_mixture(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Answers given under other circumstances are not this result's."""
    for key in ("digest", "benchmark", "questions", "wording", "video"):
        if before.get(key) != now[key]:
            raise InputError(
                f"{out}: holds answers with another {key} ({before.get(key)}, now {now[key]}); "
                "give a new --out folder"
            )


def check_videos(questions: list[Question], videos: Path) -> None:
    """Refuse the wrong folder before an engine is started; single gaps end in the ledger."""
    if not videos.is_dir():
        raise InputError(f"{videos}: no such folder; --videos names the folder of the videos")
    names = {question.video for question in questions}
    missing = sorted(name for name in names if find(videos, name) is None)
    if len(missing) > MISSING_ALLOWED * len(names):
        raise InputError(
            f"{videos}: {len(missing)} of {len(names)} videos are not there, the first is "
            f"{missing[0]}; --videos names the folder that this path starts from"
        )
    check_distinct(videos, questions)
