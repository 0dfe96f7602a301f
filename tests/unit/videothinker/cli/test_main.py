import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from videothinker.cli.main import VERBS, main
from videothinker.cli.verb import Outcome
from videothinker.errors import ConfigError, InputError, WeightsError

ROOT = Path(__file__).parents[4]
NAMES = (
    *("quickstart", "mini", "warm-start", "prepare", "train", "submit", "scale", "stop", "study"),
    *("evaluate", "score", "compare", "probe", "ask", "serve", "diagnose"),
    *("init", "doctor", "plan", "status", "report", "reward", "merge", "push"),
)


Act = Callable[[str, Callable[[object], Outcome]], None]


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Act:
    """Gives a verb another action."""

    def instead(name: str, action: Callable[[object], Outcome]) -> None:
        verbs = [replace(one, action=action) if one.name == name else one for one in VERBS]
        monkeypatch.setattr("videothinker.cli.main.VERBS", verbs)

    return instead


def failing(error: BaseException) -> Callable[[object], Outcome]:
    def action(arguments: object) -> Outcome:
        raise error

    return action


def test_help_lists_every_verb() -> None:
    assert sorted(verb.name for verb in VERBS) == sorted(NAMES)


@pytest.mark.parametrize("verb", NAMES)
def test_every_verb_teaches_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    assert f"example:\n  videothinker {verb} " in capsys.readouterr().out


def test_an_unknown_verb_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean 'train'?" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words", [[], ["score"], ["mini", "out", "--videos", "x", "--seed", "1"], ["doctor", "--no"]]
)
def test_wrong_arguments_are_one_line_and_exit_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "--help" in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("bad\nfile"), 2), (WeightsError("stale"), 1), (KeyboardInterrupt(), 130)],
)
def test_a_failure_is_one_line_with_its_exit_code(
    error: BaseException,
    code: int,
    act: Act,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act("status", failing(error))
    assert main(["status", "run"]) == code
    said = capsys.readouterr().err
    assert said.startswith("videothinker status: ")
    assert said.count("\n") == 1


def test_a_configurations_problems_keep_their_lines(
    act: Act, capsys: pytest.CaptureFixture[str]
) -> None:
    act("status", failing(ConfigError("x:\n  - a\n  - b")))
    assert main(["status", "run"]) == 2
    assert capsys.readouterr().err == "videothinker status: x:\n  - a\n  - b\n"


def test_our_own_bugs_keep_their_traceback(act: Act) -> None:
    act("status", failing(KeyError("bug")))
    with pytest.raises(KeyError):
        main(["status", "run"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "make room"),
        (OSError(98, "Address already in use"), "port is taken"),
        (ModuleNotFoundError("No module named 'ray'", name="ray"), "make setup"),
    ],
)
def test_a_failing_machine_is_explained(
    error: Exception,
    said: str,
    act: Act,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act("status", failing(error))
    assert main(["status", "run"]) == 1
    assert said in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_a_bug(act: Act) -> None:
    error = ModuleNotFoundError("No module named 'cluster.nothing'", name="cluster.nothing")
    act("status", failing(error))
    with pytest.raises(ModuleNotFoundError):
        main(["status", "run"])


def test_what_is_printed_cannot_act_on_the_terminal(
    act: Act, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Outcome(text="first\nsecond \x1b[2J", notes=["note \x07"])
    act("status", lambda arguments: told)
    assert main(["status", "run"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("first\nsecond ␛[2J\n", "note ␇\n")
    act("status", failing(InputError("\x1b[31m")))
    assert main(["status", "run"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_the_outcomes_exit_code_is_the_commands(
    act: Act, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Outcome(text="text", result={"a": 1}, notes=("note",), exit_code=1)
    act("doctor", lambda arguments: outcome)
    assert main(["doctor"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == ("text\n", "note\n")
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def run(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a background job is started with Ctrl-C ignored, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_verb_with_one_line_and_130(number: int) -> None:
    code = (
        "import time\n"
        "from dataclasses import replace\n"
        "from videothinker.cli import looking, main, verb\n"
        "def wait(arguments):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(30)\n"
        "main.VERBS = [replace(looking.status, action=wait)]\n"
        "raise SystemExit(main.main(['status', 'run']))\n"
    )
    with run(code) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        started = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
    assert time.monotonic() - started < 5
    assert (process.returncode, said) == (130, b"videothinker status: interrupted\n")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = (
        "import sys, time\n"
        "from dataclasses import replace\n"
        "from videothinker.cli import looking, main, verb\n"
        "def much(arguments):\n"
        "    sys.stdin.readline()\n"
        "    return verb.Outcome(text='x' * 1_000_000)\n"
        "main.VERBS = [replace(looking.status, action=much)]\n"
        "raise SystemExit(main.main(['status', 'run']))\n"
    )
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writer)
        os.close(reader)
        _, said = process.communicate(b"\n", timeout=20)
    assert (process.returncode, said) == (1, b"")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("videothinker 0.")


@pytest.mark.parametrize(
    ("verb", "kinds"), [("score", "benchmarks"), ("evaluate", "benchmarks budgets wordings")]
)
def test_the_help_names_every_kind_there_is(
    verb: str, kinds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from videothinker.config.settings import PRESETS
    from videothinker.evaluation.scores import BENCHMARKS
    from videothinker.types import Wording

    there_are = {"benchmarks": BENCHMARKS, "budgets": PRESETS, "wordings": get_args(Wording)}
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for kind in kinds.split():
        assert all(name in said for name in there_are[kind])


def test_progress_goes_to_stderr_so_that_stdout_is_the_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    from videothinker.progress import ProgressLine

    ProgressLine("x")(1, 1)
    assert out.getvalue() == ""
