"""A model's answers to a benchmark: the most likely ones, kept as they come, scored at the end."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.verbs.answering import answering
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.files import atomic_write, disk_errors, read_lines
from videothinker.method.prompts import Wording, asked
from videothinker.model.checkpoint import Budget, model_digest, read_budget, require_safe
from videothinker.progress import ProgressLine
from videothinker.report.evaluation import write_evaluation_report
from videothinker.types import Question
from videothinker.video.files import check_distinct, find

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

    def resolved_budget(self) -> Budget:
        """The budget that is really used."""
        own = read_budget(self.model)
        if self.budget is None:
            return own
        return own.model_copy(update={"video": VideoConfig.model_validate(self.budget)})

    def identity(self, questions: list[Question]) -> dict[str, Any]:
        """What answers depend on, and where it lay."""
        video = self.resolved_budget().video
        return {
            "model": str(self.model),
            "digest": model_digest(self.model),
            "benchmark": self.benchmark,
            "data": str(self.data),
            "questions": digest_of(questions),
            "wording": self.resolved_wording(),
            "video": video.model_dump(),
            "frames": video.max_frames,
        }


def run(this: Evaluation) -> dict[str, Any]:
    """Answer what is not answered yet, then score everything; safe to interrupt and repeat."""
    loaded = scores.read(this.benchmark, this.data)
    questions = loaded.questions
    check_videos(questions, this.videos)
    require_safe(this.model)
    budget, wording = this.resolved_budget(), this.resolved_wording()
    identity = this.identity(questions)
    answers = Answers(this.out, identity)
    waiting = [question for question in questions if question.id not in answers.known]
    if waiting:
        with (
            ProgressLine("evaluate") as progress,
            answering(this.model, this.videos, budget, this.workers) as model,
        ):
            progress(0, len(waiting))
            replies = model.answer(waiting, lambda q: asked(q, wording, this.benchmark))
            for done, reply in enumerate(replies, start=1):
                answers.add(reply.question, reply.completion, reply.failure)
                progress(done, len(waiting))
    identity |= {"layout": loaded.layout, "left_out": dict(loaded.left_out)}
    result = identity | results(this.benchmark, questions, answers.known)
    atomic_write(this.out / "result.json", json.dumps(result, indent=2) + "\n")
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
        atomic_write(origin, json.dumps(identity, indent=2) + "\n")
        self._file = out / "answers.jsonl"
        self._skipped = out / "skipped.jsonl"
        kept = read_lines(self._file)
        self.known = {line["id"]: line["completion"] for line in kept}
        # a torn last line must not be glued to the next one
        atomic_write(self._file, "".join(json.dumps(line) + "\n" for line in kept))
        self._skipped.unlink(missing_ok=True)  # what is in it is tried again

    def add(self, question: Question, completion: str, failure: str | None) -> None:
        """Keep an answer, or the reason why there is none."""
        if failure is not None:
            self._append(self._skipped, {"question_id": question.id, "reason": failure})
            return
        self.known[question.id] = completion
        self._append(self._file, {"id": question.id, "completion": completion})

    def _append(self, path: Path, entry: dict[str, str]) -> None:
        with disk_errors(path), path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


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


def digest_of(questions: list[Question]) -> str:
    """Address of the questions by content, wherever their file lies."""
    return hashlib.sha256(repr(questions).encode()).hexdigest()
