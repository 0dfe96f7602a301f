"""Decoded clips by content: in memory, on disk for every run of this machine, or decoded now."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from videothinker.errors import InputError
from videothinker.video.decoder import Decoder
from videothinker.video.frames import (
    Clip,
    FrameBudget,
    clip_digest,
    content_digest,
    pack,
    pictures_in,
    source_of,
    unpack,
)

MEMORY_BYTES = 256 * 2**20
"""Of clips kept in memory: the questions about one video tend to follow each other."""
FULL = 0.9
"""What is kept of a folder's limit when it is exceeded, so that not every clip clears it again."""
SHARE = 8
"""Processes that may fill the folder at once: each looks again after that part of the free room."""
CHECKSUM = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


class ClipStore:
    """The clips of one budget; for one thread, beside any number of processes with stores."""

    def __init__(
        self,
        folder: Path,
        gigabytes: float,
        video: FrameBudget,
        seconds: float,
        *,
        decoder: Decoder | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._files = ClipFolder(folder, int(gigabytes * 1e9))
        self._video = video
        self._seconds = seconds
        self._decoder = decoder or Decoder(seconds)
        self._memory: OrderedDict[str, Clip] = OrderedDict()
        self._memory_bytes = memory_bytes
        self._contents: dict[Path, tuple[object, str]] = {}
        self._reasons: dict[str, str] = {}
        self._asked = self._decoded = self._failed = 0

    @property
    def counts(self) -> dict[str, int]:
        """What became of the clips that were asked for; reused are those from memory or disk;
        unkept, where there are any, those decoded that the disk did not take."""
        reused = self._asked - self._decoded - self._failed
        counts = {"decoded": self._decoded, "reused": reused, "failed": self._failed}
        return counts | ({"unkept": self._files.unkept} if self._files.unkept else {})

    def get(self, path: Path, start: float | None = None, end: float | None = None) -> Clip:
        """The clip of a video, or of a part of it in seconds; InputError where there is none."""
        self._asked += 1
        try:
            clip = self._get(path, start, end)
        except InputError:
            self._failed += 1
            raise
        self._remember(clip)
        return clip

    def close(self) -> None:
        """End the decoding process."""
        self._decoder.close()
        self._files.close()

    def _get(self, path: Path, start: float | None, end: float | None) -> Clip:
        """From the nearest place that has it."""
        source = source_of(path)
        digest = clip_digest(self._content(source), self._video, start, end)
        if digest in self._reasons:
            raise InputError(f"{source}: {self._reasons[digest]}")
        clip = self._memory.get(digest) or self._files.read(digest)
        if clip is not None:
            self._decoder.rest()
            return clip
        with self._files.alone(digest, 2 * self._seconds):
            # whoever was alone before us has kept it
            return self._files.read(digest) or self._decode(source, digest, start, end)

    def _decode(self, source: Path, digest: str, start: float | None, end: float | None) -> Clip:
        """Decode and keep a clip, or the reason why there is none."""
        try:
            clip = self._decoder.decode(source, digest, self._video, start, end)
        except InputError as error:
            self._reasons[digest] = str(error).removeprefix(f"{source}: ")
            raise
        self._decoded += 1
        self._files.write(clip)
        return clip

    def _content(self, source: Path) -> str:
        """A file is read again for its digest only if it looks changed."""
        files = pictures_in(source) if source.is_dir() else [source]
        try:
            found = [file.stat() for file in files]
        except OSError as error:
            raise InputError(f"{source}: cannot be read ({error.strerror})") from error
        looks = [(f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns) for f in found]
        known = self._contents.get(source)
        if known is None or known[0] != looks:
            known = self._contents[source] = (looks, content_digest(source))
        return known[1]

    def _remember(self, clip: Clip) -> None:
        """Newest last; the oldest go when there are too many."""
        self._memory[clip.digest] = clip
        self._memory.move_to_end(clip.digest)
        while sum(kept.frames.nbytes for kept in self._memory.values()) > self._memory_bytes:
            self._memory.popitem(last=False)


class ClipFolder:
    """Files named by digest, a checksum and what `pack` made; no other file is ever removed."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._room = 0.0
        self._complained = False
        self.unkept = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("ab")
        except OSError as error:
            raise InputError(
                f"{folder}: decoded clips cannot be kept here ({error.strerror}); "
                "set data.cache to a folder that can be written"
            ) from error

    def read(self, digest: str) -> Clip | None:
        """A clip that was kept; a damaged file is removed."""
        path = self._path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        with suppress(OSError):
            os.utime(path)  # used now, as far as `_clear` is concerned
        checksum, packed = content[:CHECKSUM], memoryview(content)[CHECKSUM:]
        if hashlib.sha256(packed).digest() == checksum:
            begin = content.index(b"\n", CHECKSUM) + 1
            clip = unpack(json.loads(content[CHECKSUM:begin]), memoryview(content)[begin:])
            if clip.digest == digest:
                return clip
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None

    def write(self, clip: Clip) -> None:
        """Keep a clip, if that can be done; a full disk must not end a run that can go on."""
        header, pixels = pack(clip)
        size = CHECKSUM + len(header) + len(pixels)
        if size > self._limit:
            return
        checksum = hashlib.sha256(header)
        checksum.update(pixels)
        path = self._path(clip.digest)
        partial = path.with_suffix(f".{uuid4().hex[:8]}.partial")
        try:
            path.parent.mkdir(exist_ok=True)
            with partial.open("wb") as file:
                file.writelines((checksum.digest(), header, pixels))
            partial.replace(path)
            self._room -= size
            if self._room < 0:
                self._clear()
        except OSError as error:
            self._complain(error)
            self.unkept += 1
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    @contextmanager
    def alone(self, digest: str, seconds: float) -> Iterator[None]:
        """No other process decodes this clip meanwhile; if one does for too long, we do as well."""
        place = int(digest[:8], 16)  # a byte of the lock file, which need not exist
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                break
            except (BlockingIOError, PermissionError):
                time.sleep(0.02)
            except OSError:
                break  # a file system without locks
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Give up the lock file."""
        self._lock.close()

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.clip"

    def _clear(self) -> None:
        """Remove the longest unused beyond the limit, and see how much may be written from here."""
        files = []
        for pattern in ("??/*.clip", "??/*.partial"):
            for path in self._folder.glob(pattern):
                with suppress(OSError):  # somebody else was faster
                    found = path.stat()
                    files.append((found.st_mtime_ns, found.st_size, path))
        used = sum(size for _, size, _ in files)
        goal = FULL * self._limit if used > self._limit else used
        for _, size, path in sorted(files):
            if used <= goal:
                break
            with suppress(OSError):
                path.unlink()
            used -= size
        self._room = (self._limit - used) / SHARE

    def _complain(self, error: OSError) -> None:
        """Once: what is wrong with a disk is wrong for every clip."""
        if not self._complained:
            logger.warning(
                "%s: decoded clips cannot be kept (%s); videos will be decoded again",
                self._folder,
                error.strerror,
            )
        self._complained = True
