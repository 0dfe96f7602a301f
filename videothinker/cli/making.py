"""The verbs that make something whole from nothing: both stages, prepared questions, a study."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from videothinker.cli.verb import Outcome, argument, config_words, flag, verb
from videothinker.errors import InputError
from videothinker.mini.settings import FAMILIES
from videothinker.progress import ProgressLine


@verb(
    "videothinker quickstart --out runs/quickstart",
    argument("--out", type=Path, default=Path("runs/quickstart"), metavar="DIR"),
    argument("--seed", type=int, default=42, metavar="N"),
    flag(
        "--retrain",
        "warm-start a base model of your own with this seed, which takes about five minutes"
        " more; otherwise the one that comes with the package is used",
    ),
    argument(
        "--family",
        choices=FAMILIES,
        default=FAMILIES[0],
        help=f"what kind of model the base is (default {FAMILIES[0]}); one of another kind does not"
        " come with the package, and is warm-started as with --retrain",
    ),
)
def quickstart(arguments: Namespace) -> Outcome:
    """Both stages on mini CLEVRER, from nothing to a report, on this machine."""
    from cluster.verbs import quickstart as pipeline

    out, seed, family = arguments.out, arguments.seed, arguments.family
    return Outcome(text=pipeline.run(out, seed, family, arguments.retrain))


@verb(
    "videothinker merge runs/cdpo_1x24gb --out models/mine",
    argument(
        "source",
        type=Path,
        metavar="RUN|ADAPTER",
        help="a run with learner.lora, of which the last stage's adapter is taken, or the folder of"
        " an adapter, such as RUN/stages/NAME/model or RUN/stages/NAME/best",
    ),
    argument("--out", type=Path, required=True, metavar="DIR", help="a new folder"),
)
def merge(arguments: Namespace) -> Outcome:
    """Write a whole model: an adapter's base with the adapter added to it."""
    from videothinker.cli import functions

    result = functions.merge(arguments.source, arguments.out)
    return Outcome(text=f"{arguments.out}, digest {result['digest']}", result=result)


def own_fields(parser: ArgumentParser) -> None:
    """What a field is called, where its name does not say what it is."""
    from videothinker.data.own.fields import NAMES
    from videothinker.method.answers import KINDS

    names = parser.add_argument_group("jsonl: fields, where their names are others than these")
    parser.add_argument(
        "--as",
        dest="every",
        choices=list(KINDS),
        help="jsonl: what every answer is, where that cannot be told from the answers",
    )
    for field, known in NAMES.items():
        names.add_argument(f"--{field}", metavar="NAME", help=", ".join(known))


@verb(
    "videothinker prepare jsonl mine.jsonl --videos clips --out data/mine",
    argument("dataset", choices=["jsonl", "clevrer"]),
    argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="jsonl: questions of your own as .jsonl, .json, .csv, .parquet, or a folder of them;"
        " or a data set of the Hub, OWNER/NAME",
    ),
    argument("--videos", type=Path, required=True, metavar="DIR"),
    argument("--out", type=Path, metavar="DIR"),
    argument(
        "--head",
        type=int,
        metavar="N",
        help="jsonl: print how the first questions will be asked, and write nothing",
    ),
    flag("--leave-out", "jsonl: list rows that cannot be used in left_out.jsonl, keep the others"),
    own_fields,
    argument("--questions", type=Path, metavar="FILE", help="clevrer: train.json"),
    argument("--annotations", type=Path, metavar="DIR", help="clevrer"),
    argument(
        "--rule",
        choices=["R1", "R2", "R3", "R4"],
        default="R1",
        help="clevrer: how a question is called observational (default R1)",
    ),
)
def prepare(arguments: Namespace) -> Outcome:
    """Turn questions of your own, or CLEVRER's files, into what training reads."""
    return _clevrer(arguments) if arguments.dataset == "clevrer" else _own(arguments)


def _own(arguments: Namespace) -> Outcome:
    from videothinker.cli import functions
    from videothinker.data.own import prepare as own
    from videothinker.data.own.fields import NAMES

    if arguments.head is not None and arguments.head < 1:
        raise InputError(f"--head {arguments.head}: no question to show; give 1 or more")
    _require(arguments, "file", *(() if arguments.head else ("out",)))
    called = {field: getattr(arguments, field) for field in NAMES}
    file, videos, every = arguments.file, arguments.videos, arguments.every
    if arguments.head:
        asked = functions.own_questions(file, videos, called, every)
        return Outcome(text=own.look(asked, arguments.head))
    result = functions.prepare(
        file, videos, arguments.out, every=every, leave_out=arguments.leave_out, **called
    )
    return Outcome(result=result)


def _clevrer(arguments: Namespace) -> Outcome:
    from videothinker.data.clevrer.prepare import prepare as prepare_clevrer

    _require(arguments, "questions", "annotations", "out")
    with ProgressLine("prepare") as progress:
        statistics = prepare_clevrer(
            arguments.questions,
            arguments.annotations,
            arguments.videos,
            arguments.out,
            arguments.rule,
            progress,
        )
    return Outcome(result=statistics)


def _require(arguments: Namespace, *names: str) -> None:
    for name in names:
        if getattr(arguments, name) is None:
            word = "FILE" if name == "file" else f"--{name}"
            raise InputError(f"prepare {arguments.dataset}: {word} is missing; see prepare --help")


@verb(
    "videothinker push runs/cdpo/stages/cdpo/model me/cdpo --private",
    argument("model", type=Path, metavar="MODEL", help="a folder that a run exported"),
    argument("repository", metavar="OWNER/NAME", help="made if it is not there"),
    flag("--private", "nobody else sees it"),
    argument("--revision", metavar="BRANCH", help="made if it is not there (default main)"),
)
def push(arguments: Namespace) -> Outcome:
    """Upload an exported model, with its card, to the Hub."""
    from videothinker.hub import models as hub

    done = hub.push(arguments.model, arguments.repository, arguments.private, arguments.revision)
    notes = [f"left out, no part of a model: {', '.join(done.left_out)}"] if done.left_out else []
    if hub.unlicensed(arguments.model):
        notes.append("the card names no license: nobody may use the model until it does")
    result = {"url": done.url, "commit": done.commit}
    return Outcome(text=f"{done.url}\ncommit {done.commit}", result=result, notes=notes)


@verb(
    "videothinker study configs/study.yaml warm_starts=[1] seeds=[11,12] --dry-run",
    config_words(),
    flag(
        "--dry-run",
        "check everything, start nothing, list cells, arms and about how long they take",
    ),
)
def study(arguments: Namespace) -> Outcome:
    """Arms of training by warm starts by seeds: a table and a figure; goes on if interrupted."""
    from videothinker.cli import preflight
    from videothinker.study.checks import load_study
    from videothinker.study.plan import dry_run, told

    example = "videothinker study configs/study.yaml jobs=1"
    source, overrides = preflight.one_file(arguments.words, example)
    asked = load_study(source, overrides)
    preflight.require_files(preflight.missing_bases(asked), source)
    if arguments.dry_run:
        return Outcome(**dry_run(asked))
    preflight.require_own_names()
    from cluster.verbs.study import run

    return Outcome(**told(run(asked), asked.results))
