"""The command line: arguments in, results on stdout, progress and errors on stderr, an exit code.

The one place that prints. Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import videothinker
from videothinker import cpu_torch
from videothinker.cli import commands
from videothinker.cli.commands import Outcome
from videothinker.cli.machine_errors import remedy
from videothinker.cli.mini_arguments import add_mini
from videothinker.cli.training import WORDS, add_steering, add_training
from videothinker.errors import ConfigError, InputError, VideoThinkerError
from videothinker.terminal_text import safe

BENCHMARKS = "clevrer, mmvu, video-holmes, mvbench, tempcompass, videomme"
WORDINGS = ("training", "evaluation", "direct")
BUDGETS = ("paper-training", "paper-evaluation", "reference-training", "reference-evaluation")
INTERRUPTED = 130
DESCRIPTION = """\
Train a video model to reason: GRPO, repelled from a biased copy of itself.

start here:
  videothinker quickstart     both stages on a small video world, on this machine
  videothinker doctor         what is installed here, and what is wrong with it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words if not word.startswith("-")), "")
    signal.signal(signal.SIGTERM, _as_interrupt)
    cpu_torch.install()
    try:
        arguments = parse(words)
        outcome = arguments.action(arguments)
        _show(outcome, as_json=arguments.json)
    except VideoThinkerError as error:
        return _report(verb, str(error), error.exit_code, whole=isinstance(error, ConfigError))
    except KeyboardInterrupt:
        return _report(verb, "interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ModuleNotFoundError) as error:
        message = remedy(error)
        if not message:
            raise
        return _report(verb, message, 1)
    return int(outcome.exit_code)


def _show(outcome: Outcome, as_json: bool) -> None:
    for note in outcome.notes:
        print(safe(note), file=sys.stderr)
    if as_json and outcome.result is not None:
        print(json.dumps(outcome.result, indent=2))
    elif outcome.text:
        print(safe(outcome.text))
    sys.stdout.flush()


def _report(verb: str, message: str, code: int, whole: bool = False) -> int:
    """One line on stderr; the problems of a configuration may take one each."""
    text = message if whole else " ".join(message.split())
    try:
        print(safe(f"videothinker {verb}".rstrip() + f": {text}"), file=sys.stderr)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


def _as_interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and the nearest verb where one is misspelt."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("videothinker").strip()
        raise InputError(f"{message}; see: videothinker {verb} --help".replace("  ", " "))


def parse(words: list[str]) -> argparse.Namespace:
    """The arguments of a command line; InputError for what nobody would understand."""
    parser, verbs = _build_parser()
    _refuse_unknown_verb(words, verbs)
    arguments, rest = parser.parse_known_args(words)
    if rest and "words" in arguments and not any(word.startswith("-") for word in rest):
        # argparse stops collecting positional words at the first option.
        arguments.words += rest
    elif rest:
        parser.error(f"{arguments.verb} does not know {' '.join(rest)}")
    return arguments


def _refuse_unknown_verb(words: list[str], verbs: Sequence[str]) -> None:
    if not words or words[0].startswith("-") or words[0] in verbs:
        return
    close = difflib.get_close_matches(words[0], verbs, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(f"no such verb.{hint} `videothinker --help` lists them")


def _build_parser() -> tuple[_Parser, list[str]]:
    parser = _Parser(prog="videothinker", description=DESCRIPTION)
    parser.add_argument(
        "--version", action="version", version=f"videothinker {videothinker.__version__}"
    )
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=_Parser, title="verbs"
    )

    def verb(
        name: str, action: Callable[..., Outcome], summary: str, example: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"example:\n  {example}",
        )
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        added.set_defaults(action=action)
        return added

    _add_making(verb)
    add_training(verb)
    _add_measuring(verb)
    _add_looking(verb)
    _add_steering(verb)
    add_steering(verb)
    return parser, list(verbs.choices)


Verb = Callable[[str, Callable[..., Outcome], str, str], argparse.ArgumentParser]


def _add_making(verb: Verb) -> None:
    it = verb(
        "quickstart",
        commands.quickstart,
        "both stages on mini CLEVRER, from nothing to a report, on this machine",
        "videothinker quickstart --out runs/quickstart",
    )
    it.add_argument("--out", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    it.add_argument("--seed", type=int, default=42, metavar="N")
    it.add_argument(
        "--retrain",
        action="store_true",
        help="warm-start a base model of your own with this seed, which takes about five minutes"
        " more; otherwise the one that comes with the package is used",
    )

    add_mini(verb)

    it = verb(
        "prepare",
        commands.prepare,
        "turn CLEVRER's files into questions that say which need reasoning",
        "videothinker prepare clevrer --questions data/mini/questions.json"
        " --annotations data/mini/annotations --videos data/mini/videos --out data/mini/prepared",
    )
    it.add_argument("dataset", choices=["clevrer"])
    it.add_argument("--questions", type=Path, required=True, metavar="FILE")
    it.add_argument("--annotations", type=Path, required=True, metavar="DIR")
    it.add_argument("--videos", type=Path, required=True, metavar="DIR")
    it.add_argument("--out", type=Path, required=True, metavar="DIR")
    it.add_argument(
        "--rule",
        choices=["R1", "R2", "R3", "R4"],
        default="R1",
        help="how a question is called observational (default R1)",
    )


def _add_measuring(verb: Verb) -> None:
    it = verb(
        "evaluate",
        commands.evaluate,
        "answer a benchmark with vLLM and score it; goes on if interrupted",
        "videothinker evaluate --model runs/cdpo/stages/cdpo/model --benchmark clevrer"
        " --data data/clevrer/validation/questions.parquet --videos data/clevrer/videos"
        " --out runs/eval",
    )
    _add_answering(it)

    it = verb(
        "probe",
        commands.probe,
        "label questions by what a model answers without seeing all of the video",
        "videothinker probe --model models/Qwen2.5-VL-3B-Instruct --benchmark mvbench"
        " --data eval_mvbench.json --videos data/mvbench --out runs/probe",
    )
    _add_answering(it)
    it.add_argument(
        "--probes",
        nargs="+",
        choices=["blind", "frame", "shuffled", "clause"],
        default=["blind", "frame", "shuffled", "clause"],
        help="no video; its middle frame; its frames out of order; no 'if ... is removed'",
    )

    it = verb(
        "score",
        commands.score,
        "score answers that exist already, without a model; prints JSON",
        "videothinker score --benchmark clevrer --data questions.parquet --answers answers.jsonl",
    )
    it.add_argument("--benchmark", required=True, metavar="NAME", help=BENCHMARKS)
    it.add_argument("--data", type=Path, required=True, metavar="FILE")
    it.add_argument(
        "--answers", type=Path, required=True, metavar="FILE", help='{"id": ..., "completion": ...}'
    )
    it.add_argument("--scoring", choices=["reference", "official"], default="reference")

    it = verb(
        "diagnose",
        commands.diagnose,
        "observational and inferential accuracy, and the gap between them",
        "videothinker diagnose --answers answers.jsonl --questions questions.parquet",
    )
    it.add_argument("--answers", type=Path, required=True, metavar="FILE")
    it.add_argument("--questions", type=Path, required=True, metavar="FILE")

    it = verb(
        "compare",
        commands.compare,
        "results of several models in the paper's table",
        "videothinker compare runs/base/result.json runs/cdpo/result.json",
    )
    it.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT", help="result.json, or its folder"
    )
    it.add_argument("--scoring", choices=["reference", "official"], default="reference")

    it = verb(
        "study",
        commands.study,
        "arms of training by warm starts by seeds, as a table and a figure; goes on if interrupted",
        "videothinker study configs/study.yaml warm_starts=[1] seeds=[11,12] --dry-run",
    )
    it.add_argument("words", nargs="+", metavar="CONFIG [dotted.key=value]", help=WORDS)
    it.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, start nothing, list cells, arms and about how long they take",
    )


def _add_answering(it: argparse.ArgumentParser) -> None:
    """What every verb needs that puts a benchmark's questions to a model."""
    it.add_argument("--model", type=Path, required=True, metavar="DIR")
    it.add_argument("--benchmark", required=True, metavar="NAME", help=BENCHMARKS)
    it.add_argument("--data", type=Path, required=True, metavar="FILE")
    it.add_argument("--videos", type=Path, required=True, metavar="DIR")
    it.add_argument("--out", type=Path, required=True, metavar="DIR")
    it.add_argument(
        "--wording",
        choices=WORDINGS,
        help="training: several letters allowed (default for clevrer); evaluation: the published"
        " prompt for one letter (default otherwise); direct: no thinking",
    )
    it.add_argument("--workers", type=int, default=1, metavar="N", help="engines (default 1)")
    _add_budget(it)


def _add_budget(it: argparse.ArgumentParser) -> None:
    it.add_argument(
        "--budget",
        choices=BUDGETS,
        help="frames and pixels of a video (default: what the model was trained with, or"
        " paper-evaluation for a model that does not say)",
    )


def _add_looking(verb: Verb) -> None:
    it = verb(
        "ask",
        commands.ask,
        "one answer about one video, with its thinking",
        "videothinker ask --model runs/cdpo/stages/cdpo/model --video clip.mp4"
        ' "What happens without the red cube?" --option "It stops" --option "It rolls on"',
    )
    it.add_argument("--model", type=Path, required=True, metavar="DIR")
    it.add_argument("--video", type=Path, required=True, metavar="FILE")
    it.add_argument("question")
    it.add_argument(
        "--option", action="append", default=[], metavar="TEXT", help="becomes A, B, ...; repeat it"
    )
    it.add_argument("--wording", choices=WORDINGS, default="training")
    _add_budget(it)

    it = verb(
        "doctor",
        commands.doctor,
        "what is installed, what was found, what is wrong and the remedy",
        "videothinker doctor --json",
    )
    it.add_argument("--deep", action="store_true", help="import the large packages too (a minute)")

    it = verb(
        "plan",
        commands.plan,
        "memory by device and predicted step time, before anything starts",
        "videothinker plan configs/cdpo_2xa6000.yaml --gpus 2 --gpu-memory 48 --host-memory 128",
    )
    it.add_argument("words", nargs="+", metavar="CONFIG [dotted.key=value]")
    it.add_argument("--gpus", type=int, default=0, metavar="N", help="of each machine")
    it.add_argument("--gpu-memory", type=float, default=0.0, metavar="GB", help="of each GPU")
    it.add_argument("--host-memory", type=float, metavar="GB", help="of each machine, if limited")
    it.add_argument("--nodes", type=int, default=1, metavar="N", help="machines (default 1)")


def _add_steering(verb: Verb) -> None:
    it = verb(
        "status",
        commands.status,
        "one screen about a run: how far, how fast, who works, what it earns and says",
        "videothinker status runs/quickstart --watch",
    )
    it.add_argument("run", type=Path, metavar="RUN")
    it.add_argument("--watch", action="store_true", help="every second again, until the run ends")
    it = verb(
        "report",
        commands.report,
        "write RUN/report.html now, from what the run has left so far",
        "videothinker report runs/quickstart",
    )
    it.add_argument("run", type=Path, metavar="RUN")
    it.add_argument("--tensorboard", action="store_true", help="RUN/tensorboard as well")
