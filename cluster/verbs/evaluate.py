"""A model's answers to a benchmark: the most likely ones, kept as they come, scored at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from cluster.loop.kept import Answers, Pass, answer_all, digest_of
from cluster.verbs.answering import answering, budget_under, loaders_for
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError
from videothinker.evaluation import scores
from videothinker.evaluation.benchmarks.loading import Loaded
from videothinker.evaluation.manner import confusions, lengths
from videothinker.evaluation.protocol import Protocol, load_protocol, usual
from videothinker.evaluation.result import MARKS
from videothinker.evaluation.rules import Scoring
from videothinker.evaluation.subtitles import require_subtitles, said_in, spoken
from videothinker.files import write_json
from videothinker.method.prompts import Turns
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
    protocol: str | None = None
    """Name or file of the protocol it is asked by."""
    wording: Wording | None = None
    """In place of a protocol. Without either: direct for a model that was trained to answer so
    alone; for others the training prompt for CLEVRER, whose answers may be several letters, and the
    published evaluation prompt, which asks for one, for the rest."""
    budget: str | None = None
    """Name of a frame budget, in place of the protocol's."""
    max_tokens: int | None = None
    """Of an answer, in place of the protocol's."""
    subtitles: Path | None = None
    """Folder of the videos' .srt files, where the protocol asks with them."""
    workers: int = 1
    loaders: int | None = None
    """Processes that decode and preprocess; without, as many as have a core, up to a few."""

    def resolved(self) -> Protocol:
        """How it is really asked; what the protocol leaves open is the model's own."""
        own = read_budget(self.model)
        if self.protocol is None:
            usually: Wording = "training" if self.benchmark == "clevrer" else "evaluation"
            taught: Wording = "direct" if own.wording == "direct" else usually
            protocol = usual(self.wording or taught)
        elif self.wording is not None:
            raise InputError("--wording: a protocol has its own words. Give one of the two")
        else:
            protocol = load_protocol(self.protocol, self.benchmark)
        changes: dict[str, Any] = {}
        if self.budget is not None:
            changes["video"] = VideoConfig.model_validate(self.budget).model_dump()
        if self.max_tokens is not None:
            changes["max_tokens"] = self.max_tokens
        return protocol.model_copy(update=changes).settled(own)

    def loaded(self) -> Loaded:
        """The questions; refused before an engine is started where something is not as it must."""
        loaded = scores.read(self.benchmark, self.data)
        check_videos(loaded.questions, self.videos)
        require_model(self.model)
        protocol = self.resolved()
        require_subtitles(protocol, self.subtitles)
        wording = protocol.wording or "evaluation"
        questions = [replace(question, wording=wording) for question in loaded.questions]
        for question in questions:
            protocol.turns(question, self.benchmark)
        return replace(loaded, questions=questions)

    def identity(self, questions: list[Question]) -> dict[str, Any]:
        """What answers depend on, and where it lay."""
        return {
            "model": str(self.model),
            "digest": model_digest(self.model),
            "benchmark": self.benchmark,
            "data": str(self.data),
            "videos": str(self.videos),
            "questions": digest_of(questions),
            "subtitles": self.subtitles and said_in(self.subtitles, questions),
            "protocol": self.resolved().model_dump(),
            "protocol_digest": self.resolved().digest(),
        }

    def answer(self, verb: str, passes: Sequence[Pass]) -> None:
        """Asks what is not answered yet; a model is loaded only if there is something to ask."""
        if not any(one.waiting() for one in passes):
            return
        protocol = self.resolved()

        def turns(question: Question) -> Turns:
            said = spoken(self.subtitles, question) if self.subtitles else ()
            return protocol.turns(question, self.benchmark, said)

        budget = budget_under(self.model, protocol)
        loaders = self.loaders or loaders_for(self.workers)
        with answering(self.model, self.videos, budget, self.workers, loaders) as model:
            answer_all(
                verb,
                passes,
                lambda one: model.answer(one.waiting(), turns, one.view, protocol.temperature),
            )


def run(this: Evaluation) -> dict[str, Any]:
    """Answer what is not answered yet, then score everything; safe to interrupt and repeat."""
    loaded = this.loaded()
    questions, identity = loaded.questions, this.identity(loaded.questions)
    answers = Answers(this.out, identity, this.resolved().returned)
    this.answer("evaluate", [Pass(questions=questions, answers=answers)])
    identity |= {"layout": loaded.layout, "left_out": dict(loaded.left_out)}
    result = identity | results(this.benchmark, questions, answers.known)
    result |= {
        "lengths": lengths(answers.lines),
        "confusions": confusions(this.benchmark, questions, answers.known),
    }
    write_json(this.out / MARKS, marks_of(this.benchmark, questions, answers.known))
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


def marks_of(
    benchmark: str, questions: Sequence[Question], answers: Mapping[str, str]
) -> dict[str, Any]:
    """What each question earned, by which two models can be compared question by question."""
    completions = [answers.get(question.id, "") for question in questions]
    found: dict[str, Any] = {
        "questions": digest_of(questions),
        "categories": [question.category for question in questions],
    }
    for scoring in get_args(Scoring):
        marks = scores.marks(benchmark, questions, completions, scoring)
        found[scoring] = [None if one is None else float(one[1]) for one in marks]
    return found


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
