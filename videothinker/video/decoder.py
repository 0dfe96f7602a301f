"""Decoding in a process of its own: a video that crashes, hangs or swells costs only itself."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from videothinker import child, cpu_torch
from videothinker.errors import InputError, VideoThinkerError
from videothinker.video.frames import Clip, FrameBudget, decode, pack, unpack

COMMAND = (sys.executable, "-P", "-m", "videothinker.video.decoder")
"""-P: a file av.py in the folder where the user happens to be must not be imported."""
REST_SECONDS = 60.0
"""After so many without work a child may end: it holds 250 MiB, and takes 3 s to start again."""
MEMORY = 4 * 2**30
"""Bytes a child may take beside what its libraries take; 8K video needs less than half of it."""
MESSAGES = 2**24
"""Bytes of messages a library may write about one video."""
Decode = Callable[[Path, str, FrameBudget, float | None, float | None], Clip]


class Decoder:
    """Decodes in a child process, which is started when needed and replaced when lost."""

    def __init__(self, seconds: float, command: Sequence[str] = COMMAND) -> None:
        self._seconds = seconds
        self._child = child.Child(command)
        self._worked = 0.0

    def decode(
        self,
        source: Path,
        digest: str,
        video: FrameBudget,
        start: float | None = None,
        end: float | None = None,
    ) -> Clip:
        """What `frames.decode` returns; InputError also if it takes too long or crashes."""
        request = {
            "source": str(source.absolute()),
            "digest": digest,
            "video": video.model_dump(),
            "start": start,
            "end": end,
        }
        try:
            header, pixels = self._child.ask(request, self._seconds)
        except TimeoutError:
            raise InputError(f"{source}: took longer than {self._seconds:g} s to decode") from None
        except child.Crashed as error:
            raise InputError(f"{source}: the decoder crashed ({error})") from None
        except child.Unready as error:
            raise VideoThinkerError(
                f"the video decoder does not start ({error}); `videothinker doctor` says what is"
                " missing"
            ) from error
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
        self._child.close()


def serve(read: Decode) -> None:
    """The child."""
    child.serve(lambda request: answer(read, request), MEMORY, MESSAGES)


def answer(read: Decode, request: dict[str, Any]) -> child.Pieces:
    """A clip, or the reason why there is none."""
    source = Path(request["source"])
    video = FrameBudget(**request["video"])
    try:
        return pack(read(source, request["digest"], video, request["start"], request["end"]))
    except InputError as error:
        reason = str(error).removeprefix(f"{source}: ")
        return [json.dumps({"error": reason}).encode() + b"\n"]


def main() -> None:
    """Load the libraries, which takes seconds, and serve."""
    cpu_torch.install()
    for library in ("av", "qwen_vl_utils.vision_process", "videothinker.video.readers"):
        import_module(library)
    serve(decode)


if __name__ == "__main__":
    main()
