"""What each verb of the command line does; `cli.py` parses the arguments and prints the outcome.

Imports are late: `videothinker score` must not wait for torch, nor `--help` for anything.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videothinker.errors import InputError, VideoThinkerError
from videothinker.progress import ProgressLine
from videothinker.terminal_text import text_table

if TYPE_CHECKING:
    from cluster.verbs.evaluate import Evaluation
    from videothinker.types import Question


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb has to say: text for a person, result for --json, notes for stderr."""

    text: str = ""
    result: dict[str, Any] | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    exit_code: int = 0


def quickstart(arguments: Namespace) -> Outcome:
    """The two-stage pipeline on mini CLEVRER."""
    from cluster.verbs import quickstart as pipeline

    return _outcome(pipeline.run(arguments.out, arguments.seed, arguments.retrain))


def prepare(arguments: Namespace) -> Outcome:
    """CLEVRER's files to prepared questions."""
    from videothinker.data.clevrer.prepare import prepare as prepare_clevrer

    with ProgressLine("prepare") as progress:
        statistics = prepare_clevrer(
            arguments.questions,
            arguments.annotations,
            arguments.videos,
            arguments.out,
            arguments.rule,
            progress,
        )
    return _outcome(statistics)


def train(arguments: Namespace) -> Outcome:
    """One configuration, checked and then run; or an unfinished run, gone on with."""
    from videothinker.cli.preflight import asked_config, dry_run, missing_files, require_files

    words, resume = arguments.words, arguments.resume
    config, source = asked_config(words, resume, arguments.paths_from)
    missing = missing_files(config)
    if arguments.dry_run:
        return Outcome(**dry_run(config, source, missing))
    require_files(missing, source)
    _check_names()
    from videothinker.run.lock import driving, finished_summary

    if resume and (summary := finished_summary(resume)):
        return _trained(summary, resume, f"{resume} is finished: there is nothing left to train")
    with driving(config, resume) as directory:
        from cluster import train as loop

        summary = loop.run(config, directory)
    return _trained(summary, directory.path)


def _trained(summary: dict[str, Any], run: Path, *notes: str) -> Outcome:
    from videothinker.report.page import results_table

    text = f"{results_table(summary['models'])}\n\n{run / 'report.html'}"
    return Outcome(text=text, result=summary, notes=notes)


def submit(arguments: Namespace) -> Outcome:
    """A configuration, checked and then handed to Ray's job server."""
    from videothinker.cli.preflight import asked_config, missing_files, require_files

    config, source = asked_config(arguments.words)
    missing = missing_files(config)
    from cluster.start.connecting import is_here
    from cluster.verbs import submit as jobs

    if is_here(arguments.address):
        require_files(missing, source)
    notes = [f"warning: here, and so perhaps there too: {line}" for line in missing]
    job = jobs.submit(config, source, arguments.address)
    if arguments.follow:
        return Outcome(**jobs.follow(job))
    return Outcome(text=job.text(), result=job.as_dict(), notes=notes)


def evaluate(arguments: Namespace) -> Outcome:
    """A model's answers to a benchmark, scored."""
    from cluster.verbs import evaluate as evaluation

    result = evaluation.run(_evaluation(arguments))
    notes = _left_out(result["left_out"])
    if result["unanswered"]:
        notes.append(
            f"{result['unanswered']} questions have no answer and count as wrong;"
            f" {arguments.out / 'skipped.jsonl'} has the reason of each"
        )
    text = f"{_scores(result)}\n\n{arguments.out / 'report.html'}"
    return Outcome(text=text, result=result, notes=notes)


def probe(arguments: Namespace) -> Outcome:
    """Questions labelled by what a model answers with less than the whole video."""
    from cluster.verbs import probe as probing

    result = probing.run(_evaluation(arguments), arguments.probes)
    text = f"{_probes(result)}\n\n{arguments.out / 'questions.parquet'}"
    return Outcome(text=text, result=result)


def _evaluation(arguments: Namespace) -> Evaluation:
    from cluster.verbs.evaluate import Evaluation

    if arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}: at least one engine is needed")
    names = ("model", "benchmark", "data", "videos", "out", "wording", "budget", "workers")
    return Evaluation(**{name: getattr(arguments, name) for name in names})


def compare(arguments: Namespace) -> Outcome:
    """Several models side by side, and what was published."""
    from videothinker.evaluation.compare import compare as compare_results

    comparison = compare_results(arguments.results, arguments.scoring)
    return Outcome(text=comparison.text(), result=comparison.as_dict())


def ask(arguments: Namespace) -> Outcome:
    """One answer to one question."""
    from cluster.verbs import ask as asking

    result = asking.run(
        arguments.model,
        arguments.video,
        arguments.question,
        arguments.option,
        arguments.wording,
        arguments.budget,
    )
    thinking = f"{result['thinking']}\n\n" if result["thinking"] else ""
    return Outcome(text=f"{thinking}answer: {result['answer']}", result=result)


def score(arguments: Namespace) -> Outcome:
    """Answers that exist already, scored without a model."""
    from videothinker.evaluation import scores

    loaded = scores.read(arguments.benchmark, arguments.data)
    completions = read_answers(arguments.answers, loaded.questions)
    result = scores.score(arguments.benchmark, loaded.questions, completions, arguments.scoring)
    notes = _left_out(loaded.left_out)
    return Outcome(text=json.dumps(result, indent=2), result=result, notes=notes)


def diagnose(arguments: Namespace) -> Outcome:
    """Where the video alone gives the answer, against where it does not."""
    from videothinker.evaluation import scores

    questions = scores.load("clevrer", arguments.questions)
    result = scores.diagnose(questions, read_answers(arguments.answers, questions))
    return Outcome(text=_diagnosis(result), result=result)


def doctor(arguments: Namespace) -> Outcome:
    """What is installed, what was found, what is wrong."""
    from videothinker.cli.doctor import examine, table

    findings = examine(deep=arguments.deep)
    wrong = sum(finding.state == "wrong" for finding in findings)
    return Outcome(
        text=table(findings),
        result={"wrong": wrong, "findings": [finding.as_dict() for finding in findings]},
        exit_code=1 if wrong else 0,
    )


def plan(arguments: Namespace) -> Outcome:
    """Who would run where, in how much memory, how fast; nothing is loaded or started."""
    from videothinker.planning import plan

    text, result = plan.run(
        arguments.words,
        nodes=arguments.nodes,
        gpus=arguments.gpus,
        gpu_gb=arguments.gpu_memory,
        host_gb=arguments.host_memory,
    )
    return Outcome(text=text, result=result)


def status(arguments: Namespace) -> Outcome:
    """One screen about a run; with --watch again and again."""
    from videothinker.status import watch

    notes = watch.watch(arguments.run, arguments.json) if arguments.watch else ()
    text, result = watch.look(arguments.run)
    return Outcome(text=text, result=result, notes=notes)


def report(arguments: Namespace) -> Outcome:
    """A run's page, made from its files now; and its curves for TensorBoard."""
    from videothinker.report.page import write_report

    page = write_report(arguments.run)
    lines, result = [str(page)], {"report": str(page)}
    if arguments.tensorboard:
        from videothinker.report.tensorboard import write_events

        folder = write_events(arguments.run)
        lines.append(f"{folder}  (tensorboard --logdir {folder})")
        result["tensorboard"] = str(folder)
    return Outcome(text="\n".join(lines), result=result)


def scale(arguments: Namespace) -> Outcome:
    """Other numbers of workers for a live run."""
    from videothinker.run import wishes

    answer = wishes.scale(arguments.run, arguments.rollouts, arguments.scorers)
    text = "\n".join(
        f"{role}: {answer[role]} wanted, {answer[f'{role}_live']} at work now"
        for role in ("rollouts", "scorers")
    )
    return Outcome(text=text, result=answer)


def stop(arguments: Namespace) -> Outcome:
    """The end of a live run, after its step."""
    from videothinker.run import wishes

    status = wishes.stop(arguments.run, arguments.wait)
    if status["state"] == "finished":
        text = f"{arguments.run}: finished before it could stop"
    else:
        text = (
            f"{arguments.run}: stopped at step {status['step']} of stage {status['stage']}; the"
            f" command that began it goes on, and so does `videothinker train --resume"
            f" {arguments.run}`"
        )
    return Outcome(text=text, result=status)


def study(arguments: Namespace) -> Outcome:
    """Arms by warm starts by seeds: a table and a figure."""
    from videothinker.study.plan import asked_study, dry_run, told

    asked = asked_study(arguments.words)
    if arguments.dry_run:
        return Outcome(**dry_run(asked))
    _check_names()
    from cluster.verbs.study import run

    return Outcome(**told(run(asked), asked.results))


def read_answers(path: Path, questions: Sequence[Question]) -> list[str]:
    """The completions of a JSONL file, in the order of the questions; each exactly once."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a JSONL file of answers") from error
    answers: dict[str, str] = {}
    known = {question.id for question in questions}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        identity, completion = _answer(f"{path} line {number}", line)
        if identity in answers:
            raise InputError(f"{path} line {number}: a second answer to {identity}; keep one")
        if identity not in known:
            raise InputError(
                f"{path} line {number}: no question has the id {identity}; are these the answers"
                " to another file of questions?"
            )
        answers[identity] = completion
    absent = [question.id for question in questions if question.id not in answers]
    if absent:
        raise InputError(
            f"{path}: {len(absent)} of {len(questions)} questions have no answer, the first is"
            f" {absent[0]}; answer them all, an empty completion counts as wrong"
        )
    return [answers[question.id] for question in questions]


def _answer(where: str, line: str) -> tuple[str, str]:
    try:
        record = json.loads(line)
        identity, completion = record["id"], record["completion"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'{where}: expected {{"id": ..., "completion": ...}}, found {line[:60]!r}'
        ) from error
    if not isinstance(completion, str):
        raise InputError(f"{where}: the completion of {identity} is not a string")
    return str(identity), completion


def _check_names() -> None:
    """A foreign package called `cluster` or `actors` would be trained with instead of ours."""
    from videothinker.packages import foreign_owners

    foreign = foreign_owners()
    if foreign:
        taken = "; ".join(f"{name} by {', '.join(owners)}" for name, owners in foreign.items())
        raise VideoThinkerError(
            f"other installed distributions own our package names: {taken}. Uninstall them, then"
            " run `make setup` again"
        )


def _scores(result: dict[str, Any]) -> str:
    """Both scorings and every category, each beside what guessing would give."""
    head = ["", "accuracy", "95% interval", "n", "chance", "majority"]
    entries = [("reference", result), ("official", result["official"])]
    entries += list(result["by_category"].items())
    rows = [
        [
            name,
            _percent(entry["accuracy"]),
            _interval(entry),
            str(entry["n"]),
            _percent(entry["chance"]),
            _percent(entry["majority"]),
        ]
        for name, entry in entries
    ]
    return text_table([head, *rows], right=[1, 3, 4, 5])


def _left_out(kinds: Mapping[str, int]) -> list[str]:
    return [f"{count} {kind} questions of the file are left out" for kind, count in kinds.items()]


def _probes(result: dict[str, Any]) -> str:
    """What each probe found, and how that agrees with labels the questions had."""
    head = f"{result['observational']} of {result['n']} questions passed a probe: observational"
    compared = result["agreement"] or {}
    rows = [
        [probe, f"passed by {found['passed']} of {found['asked']}{_agreement(compared.get(probe))}"]
        for probe, found in result["passed"].items()
    ]
    if compared:
        rows.append(["any", f"of them{_agreement(compared['any'])}"])
    return f"{head}\n{text_table(rows)}" if rows else head


def _agreement(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    kappa = "-" if found["kappa"] is None else f"{found['kappa']:.2f}"
    return f"; agrees with the log in {found['agree']:.1%} {_interval(found)}, kappa {kappa}"


def _interval(entry: Mapping[str, Any]) -> str:
    return f"[{entry['low']:.1%}, {entry['high']:.1%}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _diagnosis(result: dict[str, Any]) -> str:
    rows = [
        [name, _percent(entry["mean"]), f"95% {_interval(entry)}", f"n={entry['n']}"]
        for name in ("observational", "inferential", "overall", "format")
        for entry in [result[name]]
    ]
    gap = result["shortcut_gap"]
    rows.append(["shortcut gap", "-" if gap is None else f"{gap:+.1%}", "", ""])
    return text_table(rows, right=[1])


def _outcome(returned: object) -> Outcome:
    """What a pipeline returned: a table, numbers, or nothing more than its files."""
    if isinstance(returned, dict):
        return Outcome(text=json.dumps(returned, indent=2), result=returned)
    return Outcome(text=returned if isinstance(returned, str) else "")
