"""A process beside the run for each tracker, whatever becomes of it.

driver --what it writes anyway--> RUN/metrics.jsonl, summary.json --read as they grow--> tracker

The driver makes no call of a library, waits for none and has none of their threads, prints, signals
or exit handlers; it says when it leaves. A tracker that ends before is warned of, once.

RUN/trackers/NAME.json    its own id of the run, and what it was told: a resumed run goes on there
RUN/trackers/NAME.log     what its library says, such as where to look
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from videothinker.packages import ROOT
from videothinker.tracking.trackers import VENV

logger = logging.getLogger(__name__)

FOLDER = "trackers"
FINISHED = b"finished"
CLOSING_SECONDS = 30
"""What trackers have at the end of a run, all together, to hand on the last of it."""
KILL_SECONDS = 5


def state_file(run: Path, name: str) -> Path:
    """Where a tracker keeps what it was told."""
    return run / FOLDER / f"{name}.json"


@contextmanager
def tracked(trackers: Sequence[str], run: Path) -> Iterator[None]:
    """The run in the block is told to these trackers."""
    tellers = [teller for name in trackers if (teller := _begun(name, run))]
    last_word = b""
    try:
        yield
        last_word = FINISHED
    finally:
        for teller in tellers:
            teller.leave(last_word)
        deadline = time.monotonic() + CLOSING_SECONDS
        for teller in tellers:
            teller.wait(deadline - time.monotonic())


class Teller:
    """One tracker's process, and a thread that waits for its end."""

    def __init__(self, name: str, run: Path) -> None:
        self._name = name
        self._log = run / FOLDER / f"{name}.log"
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_python(), "-P", "-m", "videothinker.tracking", str(run), name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to the driver, which decides
                env=_environment(),
            )
        self._left = self._killed = False
        self._waiting = threading.Thread(target=self._wait, daemon=True)
        self._waiting.start()

    def leave(self, last_word: bytes) -> None:
        """Say that nothing more will come."""
        self._left = True
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(last_word)
            self._process.stdin.flush()
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """For its end, and no longer."""
        self._waiting.join(max(0.0, seconds))
        if self._waiting.is_alive():
            self._killed = True
            logger.warning(
                "report_to: %s was not done %d s after the run, and is left: the newest steps may"
                " be missing there; %s has what it said",
                *(self._name, CLOSING_SECONDS, self._log),
            )
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._waiting.join(KILL_SECONDS)

    def _wait(self) -> None:
        code = self._process.wait()
        if (code or not self._left) and not self._killed:
            logger.warning(
                "report_to: %s failed, and the run goes on without it: %s (all of it in %s)",
                *(self._name, self._last_words(code), self._log),
            )

    def _last_words(self, code: int) -> str:
        """The last line of its log, which is the error of a library that raised one."""
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        lines = self._log.read_text(errors="replace").splitlines() if code > 0 else []
        spoken = [line.strip() for line in lines if line.strip()]
        return spoken[-1][:300] if spoken else how


def _begun(name: str, run: Path) -> Teller | None:
    try:
        return Teller(name, run)
    except OSError as error:
        logger.warning("report_to: %s cannot be started: %s", name, error)
        return None


def _python() -> str:
    venv = os.environ.get(VENV)
    return str(Path(venv) / "bin" / "python") if venv else sys.executable


def _environment() -> dict[str, str]:
    """This process's, with what the other needs to import us; what it says is seen at once.

    Another environment has us installed: from where we lie it would take our libraries too.
    """
    path = [os.environ.get("PYTHONPATH", "")]
    path = path if os.environ.get(VENV) else [str(ROOT), *path]
    given = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1"}
    return given | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
