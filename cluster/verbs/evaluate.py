"""A model's answers to a benchmark: the most likely ones, kept as they come, scored at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.loop.kept import Answers, Pass, answer_all, digest_of
from cluster.verbs.answering import answering, budget_for
from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.evaluation.benchmarks.loading import Loaded
from videothinker.files import write_json
from videothinker.method.prompts import asked
from videothinker.model.checkpoint import model_digest, read_budget, require_model
from videothinker.report.evaluation import write_evaluation_report
from videothinker.types import Question, Wording
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
    """None: direct for a model that was trained to answer so alone. For others the training prompt
    for CLEVRER, whose answers may be several letters, and the published evaluation prompt, which
    asks for one, for the rest."""
    budget: str | None = None
    """Name of a frame budget; None is what the model was trained with."""
    workers: int = 1

    def resolved_wording(self) -> Wording:
        """The wording that is really used."""
        if self.wording is None and read_budget(self.model).wording == "direct":
            return "direct"
        return self.wording or ("training" if self.benchmark == "clevrer" else "evaluation")

    def loaded(self) -> Loaded:
        """The questions; refused before an engine is started where something is not as it must."""
        loaded = scores.read(self.benchmark, self.data)
        check_videos(loaded.questions, self.videos)
        require_model(self.model)
        wording = self.resolved_wording()
        questions = [replace(question, wording=wording) for question in loaded.questions]
        return replace(loaded, questions=questions)

    def identity(self, questions: list[Question]) -> dict[str, Any]:
        """What answers depend on, and where it lay."""
        video = budget_for(self.model, self.budget).video
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

    def answer(self, verb: str, passes: Sequence[Pass]) -> None:
        """Asks what is not answered yet; a model is loaded only if there is something to ask."""
        if not any(one.waiting() for one in passes):
            return
        wording, budget = self.resolved_wording(), budget_for(self.model, self.budget)
        with answering(self.model, self.videos, budget, self.workers) as model:
            answer_all(
                verb,
                passes,
                lambda one: model.answer(
                    one.waiting(), lambda q: asked(q, wording, self.benchmark), one.view
                ),
            )


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
