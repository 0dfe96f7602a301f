"""Labels a set of questions by what a model answers without seeing, or reading, all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.verbs.answering import answering
from cluster.verbs.evaluate import Answers, Evaluation, check_videos
from videothinker.data.clevrer.prepare import without_clause
from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.evaluation import scores, shortcuts
from videothinker.evaluation.shortcuts import PROBES, Probe
from videothinker.files import atomic_write
from videothinker.method.prompts import asked
from videothinker.model.checkpoint import require_safe
from videothinker.progress import ProgressLine
from videothinker.types import Question
from videothinker.video.views import View

VIEWS: dict[Probe, View] = {
    "blind": "blind",
    "frame": "frame",
    "shuffled": "shuffled",
    "clause": "video",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One probe of the whole set."""

    probe: Probe
    questions: list[Question]
    answers: Answers

    def waiting(self) -> list[Question]:
        """Every rotation of every question that is not answered yet."""
        turned = [turn for question in self.questions for turn in shortcuts.rotations(question)]
        return [question for question in turned if question.id not in self.answers.known]

    def outcome(self) -> dict[str, bool]:
        """{id: the probe was passed}."""
        return shortcuts.answered(self.questions, self.answers.known)


def run(this: Evaluation, probes: Sequence[Probe] = PROBES) -> dict[str, Any]:
    """Writes questions.parquet, bias.parquet, probes.jsonl and result.json; goes on if repeated."""
    questions = scores.load(this.benchmark, this.data)
    check_videos(questions, this.videos)
    require_safe(this.model)
    budget, wording = this.resolved_budget(), this.resolved_wording()
    identity = this.identity(questions)
    passes = [
        Pass(
            probe=probe,
            questions=reduced(questions, probe),
            answers=Answers(this.out / "probes" / probe, identity),
        )
        for probe in probes
    ]
    waiting, done = sum(len(one.waiting()) for one in passes), 0
    if waiting:
        with (
            ProgressLine("probe") as progress,
            answering(this.model, this.videos, budget, this.workers) as model,
        ):
            progress(done, waiting)
            for one in passes:
                replies = model.answer(
                    one.waiting(), lambda q: asked(q, wording, this.benchmark), VIEWS[one.probe]
                )
                for reply in replies:
                    one.answers.add(reply.question, reply.completion, reply.failure)
                    done += 1
                    progress(done, waiting, one.probe)
    found = {one.probe: one.outcome() for one in passes}
    result = {key: value for key, value in identity.items() if key != "questions"}
    result |= publish(this.out, questions, found)
    atomic_write(this.out / "result.json", json.dumps(result, indent=2) + "\n")
    return result


def reduced(questions: list[Question], probe: Probe) -> list[Question]:
    """The questions as a probe words them; one without a clause has none to take away."""
    if probe != "clause":
        return questions
    kept = []
    for question in questions:
        try:
            kept.append(replace(question, text=without_clause(question.text)))
        except InputError:
            continue
    return kept


def publish(
    out: Path, questions: list[Question], found: Mapping[Probe, Mapping[str, bool]]
) -> dict[str, Any]:
    """The labelled questions, what each probe said of each, and the counts."""
    labelled = shortcuts.label(questions, found)
    bias = [question for question in labelled if question.category == "observational"]
    write_questions(out / "questions.parquet", labelled)
    write_questions(out / "bias.parquet", bias)
    lines = [
        {"id": question.id, "label": question.category}
        | {probe: passed.get(question.id) for probe, passed in found.items()}
        for question in labelled
    ]
    atomic_write(out / "probes.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    return {
        "n": len(questions),
        "observational": len(bias),
        "inferential": len(questions) - len(bias),
        "passed": {
            probe: {"passed": sum(passed.values()), "asked": len(passed)}
            for probe, passed in found.items()
        },
        "by_guessing_one_probe": shortcuts.guessing_share(questions),
        "agreement": shortcuts.agreement(questions, found),
    }
