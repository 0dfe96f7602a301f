"""The verbs about answers: a model's to a benchmark, or ones that exist already."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videothinker.cli.verb import (
    SCORING,
    Outcome,
    argument,
    benchmark,
    budget,
    flag,
    model,
    verb,
    wording,
)
from videothinker.errors import InputError
from videothinker.terminal_text import text_table

if TYPE_CHECKING:
    pass

ASKING = (
    model,
    benchmark,
    argument("--data", type=Path, required=True, metavar="FILE"),
    argument("--videos", type=Path, required=True, metavar="DIR"),
    argument("--out", type=Path, required=True, metavar="DIR"),
    argument(
        "--protocol",
        metavar="NAME",
        help="how it is asked: official (the benchmark's own words, frames and length), reference,"
        " lmms-eval and others (docs/benchmarks.md lists them), or a .yaml file of your own",
    ),
    wording(
        help="without a protocol: training: several letters allowed (default for clevrer);"
        " evaluation: the published prompt for one letter (default otherwise); direct: no thinking"
        " (default for a model that was trained so)"
    ),
    argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help="of an answer (default: the protocol's, or else the model's own)",
    ),
    argument(
        "--subtitles",
        type=Path,
        metavar="DIR",
        help=".srt files, if the protocol asks with them",
    ),
    argument("--workers", type=int, default=1, metavar="N", help="engines (default 1)"),
    argument(
        "--loaders",
        type=int,
        metavar="N",
        help="processes that decode (default: one for each core, at most 4 for each engine)",
    ),
    budget,
)
"""What every verb takes that puts a benchmark's questions to a model."""


def _probes_to_try(parser: ArgumentParser) -> None:
    from videothinker.config.settings import PROBES

    parser.add_argument(
        "--probes",
        nargs="+",
        choices=PROBES,
        default=list(PROBES),
        help="no video; its middle frame; its frames out of order; no 'if ... is removed'",
    )


@verb(
    "videothinker evaluate --model runs/cdpo/stages/cdpo/model --benchmark clevrer"
    " --data data/clevrer/validation/questions.parquet --videos data/clevrer/videos"
    " --out runs/eval",
    *ASKING,
)
def evaluate(arguments: Namespace) -> Outcome:
    """Answer a benchmark with vLLM and score it; goes on if interrupted."""
    from videothinker.cli import functions

    result = functions.evaluate(**_asked(arguments))
    notes = _left_out(result["left_out"])
    if result["unanswered"]:
        notes.append(
            f"{result['unanswered']} questions have no answer and count as wrong;"
            f" {arguments.out / 'skipped.jsonl'} has the reason of each"
        )
    text = f"{_scores(result)}\n\n{arguments.out / 'report.html'}"
    return Outcome(text=text, result=result, notes=notes)


@verb(
    "videothinker probe --model models/base --benchmark mvbench"
    " --data eval_mvbench.json --videos data/mvbench --out runs/probe",
    *ASKING,
    _probes_to_try,
)
def probe(arguments: Namespace) -> Outcome:
    """Label questions by what a model answers without seeing all of the video."""
    from cluster.verbs import probe as probing
    from cluster.verbs.evaluate import Evaluation
    from videothinker.hub.models import model_folder

    asked = {**_asked(arguments), "model": model_folder(arguments.model)}
    result = probing.run(Evaluation(**asked), arguments.probes)
    text = f"{_probes(result)}\n\n{arguments.out / 'questions.parquet'}"
    return Outcome(text=text, result=result)


def _asked(arguments: Namespace) -> dict[str, Any]:
    if arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}: at least one engine is needed")
    if arguments.loaders is not None and arguments.loaders < 1:
        raise InputError(f"--loaders {arguments.loaders}: at least one is needed")
    if arguments.max_tokens is not None and arguments.max_tokens < 1:
        raise InputError(f"--max-tokens {arguments.max_tokens}: an answer has at least one token")
    names = (
        *("model", "benchmark", "data", "videos", "out", "workers", "loaders"),
        *("protocol", "wording", "budget", "max_tokens", "subtitles"),
    )
    return {name: getattr(arguments, name) for name in names}


@verb(
    "videothinker score --benchmark clevrer --data questions.parquet --answers answers.jsonl",
    benchmark,
    argument("--data", type=Path, required=True, metavar="FILE"),
    argument(
        "--answers",
        type=Path,
        required=True,
        metavar="FILE",
        help='{"id": ..., "completion": ...} a line, or what lmms-eval or VLMEvalKit kept',
    ),
    SCORING,
)
def score(arguments: Namespace) -> Outcome:
    """Score answers that exist already, without a model; prints JSON."""
    from videothinker.evaluation import scores
    from videothinker.evaluation.given import completions_of

    loaded = scores.read(arguments.benchmark, arguments.data)
    completions = completions_of(arguments.answers, loaded.questions, loaded.places)
    result = scores.score(arguments.benchmark, loaded.questions, completions, arguments.scoring)
    return Outcome(result=result, notes=_left_out(loaded.left_out))


@verb(
    "videothinker diagnose --answers answers.jsonl --questions questions.parquet",
    argument("--answers", type=Path, required=True, metavar="FILE"),
    argument("--questions", type=Path, required=True, metavar="FILE"),
)
def diagnose(arguments: Namespace) -> Outcome:
    """Observational and inferential accuracy, and the gap between them."""
    from videothinker.evaluation import scores
    from videothinker.evaluation.given import completions_of

    questions = scores.load("clevrer", arguments.questions)
    result = scores.diagnose(questions, completions_of(arguments.answers, questions))
    return Outcome(text=_diagnosis(result), result=result)


@verb(
    "videothinker compare runs/base/result.json runs/cdpo/result.json",
    argument("results", type=Path, nargs="+", metavar="RESULT", help="result.json, or its folder"),
    argument(
        "--scoring",
        choices=["reference", "official"],
        help="default: the one of the results' protocols",
    ),
    flag("--unlike", help="results that were not asked alike too, marked"),
)
def compare(arguments: Namespace) -> Outcome:
    """Results of several models in the paper's table."""
    from videothinker.evaluation.compare import compare as compare_results

    comparison = compare_results(arguments.results, arguments.scoring, arguments.unlike)
    return Outcome(text=comparison.text(), result=comparison.as_dict())


@verb(
    "videothinker ask --model runs/cdpo/stages/cdpo/model --video clip.mp4"
    ' "What happens without the red cube?" --option "It stops" --option "It rolls on"',
    model,
    argument("--video", type=Path, required=True, metavar="FILE"),
    argument("question"),
    argument(
        "--option", action="append", default=[], metavar="TEXT", help="becomes A, B, ...; repeat it"
    ),
    wording(help="default: as the model was trained, thinking first if it does not say"),
    budget,
)
def ask(arguments: Namespace) -> Outcome:
    """One answer about one video, with its thinking."""
    from videothinker.cli import functions

    result = functions.ask(
        arguments.model,
        arguments.video,
        arguments.question,
        arguments.option,
        wording=arguments.wording,
        budget=arguments.budget,
    )
    thinking = f"{result['thinking']}\n\n" if result["thinking"] else ""
    return Outcome(text=f"{thinking}answer: {result['answer']}", result=result)


@verb(
    "videothinker serve --model runs/cdpo/stages/cdpo/model --videos data/clevrer/videos",
    model,
    argument("--port", type=int, default=8000, metavar="N", help="on this machine (default 8000)"),
    argument(
        "--videos", type=Path, metavar="DIR", help="folder that file: addresses may lead into"
    ),
    argument("--name", help="of the model in requests (default: its folder's)"),
    budget,
)
def serve(arguments: Namespace) -> Outcome:
    """An OpenAI server of a model (vLLM's own), for lmms-eval, VLMEvalKit and other programs."""
    from cluster.verbs import serve as serving
    from videothinker.hub.models import model_folder

    if not 0 < arguments.port < 65536:
        raise InputError(f"--port {arguments.port}: ports are 1 to 65535")
    folder = model_folder(arguments.model)
    serving.run(
        folder,
        arguments.port,
        name=arguments.name or arguments.model,
        budget=arguments.budget,
        videos=arguments.videos,
    )


def _scores(result: dict[str, Any]) -> str:
    """Both scorings and every category, each beside what guessing would give."""
    head = ["", "accuracy", "95% interval", "n", "chance", "majority"]
    official = result["official"]
    entries = [("reference", result), ("official", official)]
    if "over_questions" in official:
        entries.append(("  over all questions", official["over_questions"]))
    entries += [(f"  without {task}", one) for task, one in official.get("without", {}).items()]
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


def _entries(result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What a diagnosis counts, the sorts of questions last."""
    whole = [(name, result[name]) for name in ("observational", "inferential", "overall", "format")]
    kinds = [(f"answers: {name}", one) for name, one in result.get("by_kind", {}).items()]
    return [*whole, *result.get("by_category", {}).items(), *kinds]


def _diagnosis(result: dict[str, Any]) -> str:
    rows = [
        [name, _percent(entry["mean"]), f"95% {_interval(entry)}", f"n={entry['n']}"]
        for name, entry in _entries(result)
    ]
    gap = result["shortcut_gap"]
    rows.append(["shortcut gap", "-" if gap is None else f"{gap:+.1%}", "", ""])
    return text_table(rows, right=[1])
