"""The command line: arguments in, results on stdout, progress and errors on stderr, an exit code.

The one place that prints. Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from videothinker import cpu_torch
from videothinker.cli import answering, looking, making, mini, starting, training
from videothinker.cli.verb import Outcome
from videothinker.errors import ConfigError, InputError, VideoThinkerError
from videothinker.packages import VERSION
from videothinker.terminal_text import safe

VERBS = (
    making.quickstart, mini.mini, mini.warm_start, starting.init, making.prepare,
    looking.reward, training.train, training.submit,
    answering.evaluate, answering.probe, answering.score, answering.diagnose, answering.compare,
    making.study, answering.ask, answering.serve, making.merge, making.push,
    looking.doctor, looking.plan, looking.status, looking.report,
    training.scale, training.stop,
)  # fmt: skip
"""In the order in which --help lists them."""
INTERRUPTED = 130
DESCRIPTION = """\
Train a video model to reason: GRPO, repelled from a biased copy of itself.

start here:
  videothinker quickstart     both stages on a small video world, on this machine
  videothinker doctor         what is installed here, and what is wrong with it
  videothinker init DIR       a configuration, a reward and example questions for your videos
"""
STACK = (
    *("torch", "torchvision", "transformers", "ray", "vllm", "deepspeed", "decord"),
    "huggingface_hub",
)
"""What `make setup` installs and the method alone does not need."""
OPTIONAL = ("tensorboardX",)
ERRNO_REMEDIES = {
    errno.ENOSPC: "no space left on the disk; make room and run it again",
    errno.EDQUOT: "the disk quota is used up; make room and run it again",
    errno.EACCES: "no permission; choose a place you may write to",
    errno.EROFS: "the file system is read-only; choose a place you may write to",
    errno.EIO: "the disk fails; look at `dmesg`, then run it again",
    errno.ESTALE: "the share of the network is gone; mount it again, then run it again",
    errno.EADDRINUSE: "a network port is taken; stop the other program, or run it again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = _verb_of(words)
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
        message = _remedy(error)
        if not message:
            raise
        return _report(verb, message, 1)
    return int(outcome.exit_code)


def _show(outcome: Outcome, as_json: bool) -> None:
    for note in outcome.notes:
        print(safe(note), file=sys.stderr)
    if outcome.result is not None and (as_json or not outcome.text):
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


def _remedy(error: OSError | ModuleNotFoundError) -> str | None:
    """What to do about a failure of the machine; None for everything that is our own bug."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name in OPTIONAL:
            return f"{name} is not installed here; run `pip install {name}`"
        return f"{name} is not installed here; run `make setup`" if name in STACK else None
    said = ERRNO_REMEDIES.get(error.errno or 0)
    where = f"{error.filename}: " if error.filename else ""
    return where + said if said else None


def _as_interrupt(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("videothinker").strip()
        raise InputError(f"{message}; see: videothinker {verb} --help".replace("  ", " "))


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line; InputError for what nobody would understand."""
    _refuse_unknown_verb(words)
    parser = _Parser(prog="videothinker", description=DESCRIPTION)
    version = f"videothinker {VERSION}"
    parser.add_argument("--version", action="version", version=version)
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=_Parser, title="verbs"
    )
    for verb in VERBS:
        verb.add_to(verbs, whole=verb.name == _verb_of(words))
    arguments, rest = parser.parse_known_args(words)
    if rest and "words" in arguments and not any(word.startswith("-") for word in rest):
        # argparse stops collecting positional words at the first option.
        arguments.words += rest
    elif rest:
        parser.error(f"{arguments.verb} does not know {' '.join(rest)}")
    return arguments


def _verb_of(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _refuse_unknown_verb(words: Sequence[str]) -> None:
    names = [verb.name for verb in VERBS]
    if not words or words[0].startswith("-") or words[0] in names:
        return
    close = difflib.get_close_matches(words[0], names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(f"no such verb.{hint} `videothinker --help` lists them")
