"""A process of its own for decoding: a video that crashes, hangs or swells costs only itself.

Requests and answers are lines of JSON over pipes; a clip's pixels follow its line. A plain child,
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from videothinker import cpu_torch
from videothinker.config.settings import VideoConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.packages import ROOT
from videothinker.video.frames import Clip, decode, pack, unpack

COMMAND = (sys.executable, "-P", "-m", "videothinker.video.decoder")
"""-P: a file av.py in the folder where the user happens to be must not be imported."""
START_SECONDS = 180.0
"""To import torch, on a busy machine."""
ORPHAN_SECONDS = 5.0
"""After so many more than the limit a child ends by itself, since its parent did not do it."""
REST_SECONDS = 60.0
"""After so many without work a child may end: it holds 250 MiB, and takes 3 s to start again."""
MEMORY = 4 * 2**30
"""Bytes a child may take beside what its libraries take; 8K video needs less than half of it."""
MESSAGES = 2**24
"""Bytes of messages a library may write about one video."""
Decode = Callable[[Path, str, VideoConfig, float | None, float | None], Clip]


class Decoder:
    """Decodes in a child process, which is started when needed and replaced when lost."""

    def __init__(self, seconds: float, command: Sequence[str] = COMMAND) -> None:
        self._seconds = seconds
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None
        self._worked = 0.0

    def decode(
        self,
        source: Path,
        digest: str,
        video: VideoConfig,
        start: float | None = None,
        end: float | None = None,
    ) -> Clip:
        """What `frames.decode` returns; InputError also if it takes too long or crashes."""
        child = self._running()
        request = {
            "source": str(source.absolute()),
            "digest": digest,
            "video": video.model_dump(),
            "start": start,
            "end": end,
            "seconds": self._seconds,
        }
        try:
            send(child, request)
            header, pixels = receive(child, self._seconds)
        except TimeoutError:
            self.close()
            raise InputError(f"{source}: took longer than {self._seconds:g} s to decode") from None
        except (BrokenPipeError, EOFError):
            raise InputError(f"{source}: the decoder crashed ({self._last_words()})") from None
        finally:
            self._worked = time.monotonic()
        if "error" in header:
            raise InputError(f"{source}: {header['error']}")
        return unpack(header, pixels)

    def rest(self) -> None:
        """Nothing to decode: end a child that has had nothing for long."""
        if time.monotonic() - self._worked > REST_SECONDS:
            self.close()

    def close(self) -> None:
        """End the child; the next video starts another."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._messages):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        self._child = None

    def _running(self) -> subprocess.Popen[bytes]:
        """A child that is ready."""
        if self._child is not None and self._child.poll() is not None:
            self.close()  # lost between two videos: the fault of neither
        if self._child is None:
            self._messages = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the child
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                env=child_environment(),
                process_group=0,  # Ctrl-C goes to the parent, which decides
            )
            try:
                receive(self._child, START_SECONDS)
            except (TimeoutError, EOFError) as error:
                raise VideoThinkerError(
                    f"the video decoder does not start ({self._last_words()}); "
                    "`videothinker doctor` says what is missing"
                ) from error
        return self._child

    def _last_words(self) -> str:
        """How a child that ended did so, and the last line it wrote."""
        assert self._child
        assert self._messages
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(5)
        code = self._child.poll()
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


def send(child: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
    """One line, which always fits into the pipe of a child that waits for it."""
    assert child.stdin
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()


def receive(child: subprocess.Popen[bytes], seconds: float) -> tuple[dict[str, Any], bytes]:
    """One answer: its line, and the pixels that the line announces."""
    assert child.stdout
    deadline = time.monotonic() + seconds
    waiting = select.poll()
    waiting.register(child.stdout, select.POLLIN)
    data, header, size = bytearray(), None, math.inf
    while header is None or len(data) < size:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        chunk = os.read(child.stdout.fileno(), 2**20)
        if not chunk:
            raise EOFError
        data += chunk
        if header is None and b"\n" in chunk:
            line, _, data = data.partition(b"\n")
            header = json.loads(line)
            size = math.prod(header.get("shape", (0,)))
    return header, bytes(data)


def serve(read: Decode) -> None:
    """The child: answers requests until there is nobody to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with os.fdopen(os.dup(1), "wb") as answers, suppress(BrokenPipeError):
        os.dup2(2, 1)  # what a library prints is no answer
        limit_resources()
        answers.write(b"{}\n")
        answers.flush()
        for line in sys.stdin.buffer:
            os.ftruncate(2, os.lseek(2, 0, os.SEEK_SET))
            request = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, request["seconds"] + ORPHAN_SECONDS)
            for part in answer(read, request):
                answers.write(part)
            answers.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)


def answer(read: Decode, request: dict[str, Any]) -> Sequence[bytes | memoryview]:
    """A clip, or the reason why there is none."""
    source = Path(request["source"])
    video = VideoConfig(**request["video"])
    try:
        return pack(read(source, request["digest"], video, request["start"], request["end"]))
    except InputError as error:
        reason = str(error).removeprefix(f"{source}: ")
        return [json.dumps({"error": reason}).encode() + b"\n"]


def limit_resources() -> None:
    """Less memory than the machine has, few messages, no core dump."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, bytes_ in (
        (resource.RLIMIT_AS, used + MEMORY),
        (resource.RLIMIT_FSIZE, MESSAGES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (bytes_, bytes_))


def main() -> None:
    """Load the libraries, which takes seconds, and serve."""
    cpu_torch.install()
    for library in ("av", "qwen_vl_utils.vision_process", "videothinker.video.readers"):
        import_module(library)
    serve(decode)


if __name__ == "__main__":
    main()
