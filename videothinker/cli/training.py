"""The arguments of the verbs that begin, steer and end a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from videothinker.cli import commands

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from videothinker.cli.commands import Outcome

    Verb = Callable[[str, Callable[..., Outcome], str, str], ArgumentParser]

WORDS = "a YAML file, and settings that replace the file's"
STOP_SECONDS = 600.0


def add_training(verb: Verb) -> None:
    """What begins a run, or goes on with it."""
    it = verb(
        "train",
        commands.train,
        "train the stages of a configuration; the same command goes on with a run that was cut off",
        "videothinker train configs/cdpo.yaml learner.learning_rate=2e-6 stages.0.steps=100\n"
        "  videothinker train --resume runs/cdpo",
    )
    it.add_argument("words", nargs="*", metavar="CONFIG [dotted.key=value]", help=WORDS)
    it.add_argument(
        "--resume", type=Path, metavar="RUN", help="go on where this run stopped (no CONFIG)"
    )
    it.add_argument(
        "--paths-from",
        type=Path,
        metavar="DIR",
        help="relative paths count from DIR; for a Ray job, which starts in a temporary folder",
    )
    it.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, start nothing, print the whole configuration",
    )
    it = verb(
        "submit",
        commands.submit,
        "run a training through Ray's job server, from this checkout",
        "videothinker submit configs/cdpo.yaml --address http://127.0.0.1:8265 --follow",
    )
    it.add_argument("words", nargs="+", metavar="CONFIG [dotted.key=value]", help=WORDS)
    it.add_argument("--address", required=True, metavar="URL", help="of the job server")
    it.add_argument(
        "--follow", action="store_true", help="show the job's output, and end as it ends"
    )


def add_steering(verb: Verb) -> None:
    """What changes a live run, from any shell that sees its folder."""
    it = verb(
        "scale",
        commands.scale,
        "change the number of workers of a live run, from any shell; those who leave finish first",
        "videothinker scale runs/cdpo --rollouts 4",
    )
    it.add_argument("run", type=Path, metavar="RUN")
    it.add_argument("--rollouts", type=int, metavar="N", help="rollout workers")
    it.add_argument("--scorers", type=int, metavar="N", help="processes that hold the anchor")
    it = verb(
        "stop",
        commands.stop,
        "end a live run after its current step, with its state saved, from any shell",
        "videothinker stop runs/cdpo",
    )
    it.add_argument("run", type=Path, metavar="RUN")
    it.add_argument(
        "--wait",
        type=float,
        default=STOP_SECONDS,
        metavar="SECONDS",
        help="how long to wait for the end, which comes in any case (default 600)",
    )
