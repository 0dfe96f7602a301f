"""The verbs that make something whole from nothing: both stages, prepared questions, a study."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from videothinker.cli.verb import Outcome, argument, config_words, flag, verb
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
)
def quickstart(arguments: Namespace) -> Outcome:
    """Both stages on mini CLEVRER, from nothing to a report, on this machine."""
    from cluster.verbs import quickstart as pipeline

    return Outcome(text=pipeline.run(arguments.out, arguments.seed, arguments.retrain))


@verb(
    "videothinker prepare clevrer --questions data/mini/questions.json"
    " --annotations data/mini/annotations --videos data/mini/videos --out data/mini/prepared",
    argument("dataset", choices=["clevrer"]),
    argument("--questions", type=Path, required=True, metavar="FILE"),
    argument("--annotations", type=Path, required=True, metavar="DIR"),
    argument("--videos", type=Path, required=True, metavar="DIR"),
    argument("--out", type=Path, required=True, metavar="DIR"),
    argument(
        "--rule",
        choices=["R1", "R2", "R3", "R4"],
        default="R1",
        help="how a question is called observational (default R1)",
    ),
)
def prepare(arguments: Namespace) -> Outcome:
    """Turn CLEVRER's files into questions that say which need reasoning."""
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
    return Outcome(result=statistics)


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
