"""What a verb of the command line is: the words it takes, an example, and what it does.

What an action or a help text needs is imported late: `videothinker score` must not wait for torch,
nor `--help` for anything.
"""

from __future__ import annotations

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a verb has to say: text for a person, result for --json, notes for stderr.

    A result without a text is JSON for a person too.
    """

    text: str = ""
    result: dict[str, Any] | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    exit_code: int = 0


Action = Callable[[Namespace], Outcome]
Argument = Callable[[ArgumentParser], object]
"""Adds itself to the parser of a verb."""


@dataclass(frozen=True, kw_only=True)
class Verb:
    """One word that `videothinker` understands."""

    name: str
    summary: str
    """What --help says of it: a sentence without its full stop."""
    example: str
    arguments: Sequence[Argument]
    action: Action

    def add_to(self, verbs: argparse._SubParsersAction[Any], *, whole: bool) -> None:
        """With its arguments only where they are asked for: some are named by slow modules."""
        parser = verbs.add_parser(
            self.name,
            help=self.summary[:1].lower() + self.summary[1:],
            description=f"{self.summary}.",
            epilog=f"example:\n  {self.example}",
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.set_defaults(action=self.action)
        for add in self.arguments if whole else ():
            add(parser)


def verb(example: str, *arguments: Argument) -> Callable[[Action], Verb]:
    """Makes a verb of a function: its name is the word to type, its docstring the help."""

    def made(action: Action) -> Verb:
        return Verb(
            name=action.__name__.replace("_", "-"),
            summary=" ".join((action.__doc__ or "").split()).removesuffix("."),
            example=example,
            arguments=arguments,
            action=action,
        )

    return made


def argument(*names: str, **settings: Any) -> Argument:
    """What argparse's `add_argument` takes."""
    return lambda parser: parser.add_argument(*names, **settings)


def flag(name: str, help: str) -> Argument:
    """On where it is typed."""
    return argument(name, action="store_true", help=help)


def config_words(nargs: str = "+") -> Argument:
    """A configuration's file, and what replaces settings of it."""
    return argument(
        "words",
        nargs=nargs,
        metavar="CONFIG [OTHER.yaml] [dotted.key=value]",
        help="a YAML file, and what replaces settings of it: files such as configs/methods/*.yaml,"
        " or single ones",
    )


model = argument("--model", required=True, metavar="DIR", help="or OWNER/NAME of the Hub")
RUN = argument("run", type=Path, metavar="RUN")
SCORING = argument("--scoring", choices=["reference", "official"], default="reference")


def benchmark(parser: ArgumentParser) -> None:
    """Which one; the help lists them."""
    from videothinker.evaluation.scores import BENCHMARKS

    known = ", ".join(BENCHMARKS)
    parser.add_argument("--benchmark", required=True, metavar="NAME", help=known)


def wording(**settings: Any) -> Argument:
    """The text around a question."""

    def add(parser: ArgumentParser) -> None:
        from videothinker.types import Wording

        parser.add_argument("--wording", choices=get_args(Wording), **settings)

    return add


def budget(parser: ArgumentParser) -> None:
    """What of a video the model sees."""
    from videothinker.config.settings import PRESETS

    parser.add_argument(
        "--budget",
        choices=list(PRESETS),
        help="frames and pixels of a video (default: what the model was trained with, or"
        " paper-evaluation for a model that does not say)",
    )
