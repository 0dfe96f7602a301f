"""`status --watch` on a terminal of its own, and where there is none."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import heed_ctrl_c

from videothinker.cli.main import main
from videothinker.run.directory import RunDirectory

OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
"""The terminal's second screen, and back to what was there before."""
HOME, CURSOR = "\x1b[H", "\x1b[?25h"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory.create(tmp_path / "run", "name: trial\nstages: [{name: bias, steps: 4}]\n")
    run.status(state="training", stage="bias", step=1)
    return run


class Terminal:
    """`videothinker status RUN --watch` in a terminal of 24 lines of 100 columns."""

    def __init__(self, run: Path, term: str = "xterm") -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "videothinker", "status", str(run), "--watch"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TERM": term, "COLUMNS": "", "LINES": ""},
            preexec_fn=heed_ctrl_c,
        )
        os.close(theirs)
        self.seen = ""

    def read_until(self, text: str, limit: float = 20) -> None:
        """Fails unless the text is drawn from now on."""
        deadline, start = time.monotonic() + limit, len(self.seen)
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, self.seen
            self.read(0.1)

    def read(self, seconds: float) -> bool:
        """Whether anything came, and whoever draws is still there."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            self.seen += os.read(self._ours, 65536).decode()
        except OSError:  # what Linux says when nobody holds the other side
            return False
        return True

    def finish(self) -> int:
        """Its exit code; everything it wrote is in `seen`."""
        code = self.process.wait(20)
        while self.read(0.1) and select.select([self._ours], [], [], 0)[0]:
            pass
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self._ours)


@pytest.fixture
def terminal(run: RunDirectory) -> Iterator[Terminal]:
    terminal = Terminal(run.path)
    yield terminal
    terminal.close()


def test_it_follows_the_run_and_ends_with_it(run: RunDirectory, terminal: Terminal) -> None:
    terminal.read_until("1/4  now")
    assert terminal.seen.startswith(OTHER_SCREEN)
    assert "█░" in terminal.seen
    run.status(step=3)
    terminal.read_until("3/4  now")
    run.status(state="finished")
    assert terminal.finish() == 0
    _, _, after = terminal.seen.partition(OWN_SCREEN)
    assert "trial: finished" in after  # the last screen stays where the shell goes on


def test_ctrl_c_gives_the_terminal_back_and_is_no_failure(terminal: Terminal) -> None:
    terminal.read_until("1/4  now")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.finish() == 0
    assert OWN_SCREEN in terminal.seen
    assert CURSOR in terminal.seen
    assert terminal.process.stderr.read() == b""


def test_the_screen_never_scrolls(run: RunDirectory, terminal: Terminal) -> None:
    run.status(state="x" * 5000)
    terminal.read_until("xxx")
    terminal.read_until(HOME)
    frame = terminal.seen.rpartition(HOME)[0].rpartition(HOME)[2].partition("\x1b")[0]
    assert "xxx" in frame
    assert frame.count("\n") < 24
    assert all(len(line.strip("\r")) <= 100 for line in frame.split("\n"))


def test_a_dumb_terminal_gets_one_look(run: RunDirectory) -> None:
    terminal = Terminal(run.path, term="dumb")
    try:
        assert terminal.finish() == 0
        assert "trial: training" in terminal.seen
        assert "\x1b" not in terminal.seen
        assert b"one look" in terminal.process.stderr.read()
    finally:
        terminal.close()


def test_a_pipe_gets_one_look(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(run.path), "--watch"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("trial: training stage bias")
    assert "one look" in said.err


def test_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--watch"], ["--json"], []):
        assert main(["status", str(tmp_path / "none"), *words]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert "not a run (no such folder)" in said.err


def test_data_and_a_screen_cannot_be_had_at_once(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(run.path), "--watch", "--json"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_one_look_does_not_wait_for_what_only_redrawing_needs() -> None:
    code = "import sys, videothinker.status.watch; sys.exit('rich.console' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
