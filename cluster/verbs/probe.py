"""Labels a set of questions by what a model answers without seeing, or reading, all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.verbs.evaluate import Answers, Evaluation, Pass
from videothinker.data.clevrer.prepare import without_clause
from videothinker.data.questions import write_questions
from videothinker.errors import InputError
from videothinker.evaluation import shortcuts
from videothinker.evaluation.shortcuts import PROBES, Probe
from videothinker.files import atomic_write, write_json
from videothinker.types import Question


def run(this: Evaluation, probes: Sequence[Probe] = PROBES) -> dict[str, Any]:
    """Writes questions.parquet, bias.parquet, probes.jsonl and result.json; goes on if repeated."""
    questions = this.loaded().questions
    identity = this.identity(questions)
    worded = {probe: reduced(questions, probe) for probe in probes}
    passes = {
        probe: Pass(
            questions=[turn for question in some for turn in shortcuts.rotations(question)],
            answers=Answers(this.out / "probes" / probe, identity),
            view="video" if probe == "clause" else probe,
            name=probe,
        )
        for probe, some in worded.items()
    }
    this.answer("probe", list(passes.values()))
    found = {
        probe: shortcuts.answered(some, passes[probe].answers.known)
        for probe, some in worded.items()
    }
    result = {key: value for key, value in identity.items() if key != "questions"}
    result |= publish(this.out, questions, found)
    write_json(this.out / "result.json", result)
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
