"""Labels of questions by probes (`evaluation/shortcuts.py`): what `videothinker probe` does, and a
run before its first stage where `data.category` is probe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cluster.loop.asking import Asking, Reply
from cluster.loop.kept import Answers, Pass, answer_all, digest_of
from cluster.loop.ledger import Ledger
from cluster.workers.fleet import Fleet
from videothinker.config.settings import PROBES, Probe, RunConfig
from videothinker.data.asked import probed, to_probe
from videothinker.data.questions import write_questions
from videothinker.evaluation import shortcuts
from videothinker.evaluation.protocol import usual
from videothinker.evaluation.shortcuts import reduced
from videothinker.files import atomic_write, write_json
from videothinker.method.prompts import run_text
from videothinker.model.checkpoint import budget_of, model_digest
from videothinker.model.families.known import shape_of
from videothinker.planning.memory import answered_together
from videothinker.run.directory import RunDirectory
from videothinker.types import Failure, Question


def label_run(config: RunConfig, fleet: Fleet, run: RunDirectory, ledger: Ledger) -> None:
    """Label a run's questions with its engines, which hold its initial model as they start."""
    wording = config.prompts.each[0]
    for name, questions in to_probe(config).items():
        folder = probed(run.path, name)
        if (folder / "result.json").is_file():
            continue
        run.status(state="probing")
        identity = {
            "model": str(config.model.path),
            "digest": model_digest(config.model.path),
            "benchmark": "clevrer",
            "questions": digest_of(questions),
            "protocol": usual(wording).settled(budget_of(config)).model_dump(),
        }
        ask = partial(_ask, config, fleet, ledger, f"probe {name}")
        worded = [replace(question, wording=wording) for question in questions]
        label(folder, worded, identity, ask, config.data.probes)


def _ask(
    config: RunConfig, fleet: Fleet, ledger: Ledger, title: str, passes: Sequence[Pass]
) -> None:
    """The most likely completion of each question; what has none is in the ledger."""

    def replies(one: Pass) -> Iterator[Reply]:
        asking = Asking(
            loader=fleet.loader.asking(run_text, one.view),
            rollouts=fleet.rollouts,
            samples=1,
            together=answered_together(config, shape_of(config.model.path)),
            temperatures=[0.0],
        )
        questions = one.waiting()
        ledger.asked(len(questions))
        coming = fleet.background.iterate(asking.replies(questions, [0] * len(questions)))
        with closing(coming):
            for reply in coming:
                if isinstance(reply.outcome, Failure):
                    ledger.add("probe", 0, reply.question, reply.outcome)
                yield reply

    answer_all(title, passes, replies)


def label(
    out: Path,
    questions: list[Question],
    identity: dict[str, Any],
    ask: Callable[[Sequence[Pass]], None],
    probes: Sequence[Probe] = PROBES,
) -> dict[str, Any]:
    """Writes questions.parquet, bias.parquet, probes.jsonl and result.json; goes on if repeated."""
    worded = {probe: reduced(questions, probe) for probe in probes}
    passes = {
        probe: Pass(
            questions=[turn for question in some for turn in shortcuts.rotations(question)],
            answers=Answers(out / "probes" / probe, identity),
            view="video" if probe == "clause" else probe,
            name=probe,
        )
        for probe, some in worded.items()
    }
    ask(list(passes.values()))
    found = {
        probe: shortcuts.answered(some, passes[probe].answers.known)
        for probe, some in worded.items()
    }
    result = {key: value for key, value in identity.items() if key != "questions"}
    result |= publish(out, questions, found)
    write_json(out / "result.json", result)
    return result


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
