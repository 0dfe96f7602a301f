"""A process of its own for what may crash, hang or swell: a video's decoder, a user's function.

Requests and answers are lines of JSON over pipes; bytes may follow an answer's line. A plain child,
since the parent may be a Ray actor: nothing is forked, and nothing is found by the name __main__.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from videothinker import cpu_torch
from videothinker.packages import ROOT

START_SECONDS = 180.0
"""To import torch, on a busy machine."""
ORPHAN_SECONDS = 5.0
"""After so many more than the limit a child ends by itself, since its parent did not do it."""
Pieces = Iterable[bytes | memoryview]
"""A line, and the bytes that follow it."""


class Crashed(Exception):
    """The child ended instead of answering: how, and the last line that it wrote."""


class Unready(Exception):
    """The child does not come as far as to take requests: why, as far as it says."""


class Child:
    """Answers requests, one at a time; started when needed and replaced when lost."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None

    def ask(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], bytes]:
        """The answer's line and what follows it; TimeoutError, or Crashed, costs the child.

        Unready is nobody's fault who asks.
        """
        process = self.running()
        try:
            send(process, {**request, "seconds": seconds})
            return receive(process, seconds)
        except TimeoutError:
            self.close()
            raise
        except (BrokenPipeError, EOFError):
            raise Crashed(self._last_words()) from None

    def close(self) -> None:
        """End the process; the next request starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._messages):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        self._process = None

    def kill(self) -> None:
        """End the process from another thread than that which asks, and which then sees it."""
        if (process := self._process) is not None:
            process.kill()

    def running(self) -> subprocess.Popen[bytes]:
        """A process that is ready, or Unready."""
        if self._process is not None and self._process.poll() is not None:
            self.close()  # lost between two requests: the fault of neither
        if self._process is None:
            self._messages = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                env=child_environment(),
                process_group=0,  # Ctrl-C goes to the parent, which decides
            )
            try:
                receive(self._process, START_SECONDS)
            except (TimeoutError, EOFError) as error:
                raise Unready(self._last_words()) from error
        return self._process

    def printed(self) -> str:
        """What was printed since the last request came."""
        if self._messages is None or self._messages.closed:
            return ""
        size = os.fstat(self._messages.fileno()).st_size
        return os.pread(self._messages.fileno(), size, 0).decode(errors="replace")

    def _last_words(self) -> str:
        """How a process that ended did so, and the last line it wrote."""
        assert self._process
        assert self._messages
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        size = os.fstat(self._messages.fileno()).st_size
        tail = os.pread(self._messages.fileno(), 2000, max(0, size - 2000))
        lines = tail.decode(errors="replace").splitlines()
        spoken = [line.strip()[:200] for line in lines if line.strip()]
        self.close()
        how = "no answer" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        return ": ".join([how, *spoken[-1:]])


def child_environment() -> dict[str, str]:
    """This process's, with what the child needs to import and to end."""
    cpu_torch.install()
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
    }


def send(process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
    """One line, which a process that waits for it reads to its end."""
    assert process.stdin
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()


def receive(process: subprocess.Popen[bytes], seconds: float) -> tuple[dict[str, Any], bytes]:
    """One answer: its line, and the bytes that the line announces."""
    assert process.stdout
    deadline = time.monotonic() + seconds
    waiting = select.poll()
    waiting.register(process.stdout, select.POLLIN)
    data, header, size = bytearray(), None, math.inf
    while header is None or len(data) < size:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        chunk = os.read(process.stdout.fileno(), 2**20)
        if not chunk:
            raise EOFError
        data += chunk
        if header is None and b"\n" in chunk:
            line, _, data = data.partition(b"\n")
            header = json.loads(line)
            size = math.prod(header.get("shape", (0,)))
    return header, bytes(data)


def serve(
    answer: Callable[[dict[str, Any]], Pieces], memory: int, messages: int = resource.RLIM_INFINITY
) -> None:
    """The child: answers requests until there is nobody to ask.

    `memory`: bytes that it may take beside what it has taken to get here; `messages`: how many it
    may write into any file, so to what it prints.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with os.fdopen(os.dup(1), "wb") as answers, suppress(BrokenPipeError):
        os.dup2(2, 1)  # what a library prints is no answer
        limit_resources(memory, messages)
        answers.write(b"{}\n")
        answers.flush()
        for line in sys.stdin.buffer:
            os.ftruncate(2, os.lseek(2, 0, os.SEEK_SET))
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, request["seconds"] + ORPHAN_SECONDS)
            for part in answer(request):
                answers.write(part)
            answers.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)


def limit_resources(memory: int, messages: int) -> None:
    """Less memory than the machine has, few messages, no core dump."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, bytes_ in (
        (resource.RLIMIT_AS, used + memory),
        (resource.RLIMIT_FSIZE, messages),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (bytes_, bytes_))
