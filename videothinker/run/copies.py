"""A run's copy at an address of fsspec's (`copy_to`), from which another machine goes on.

ADDRESS/000003/...             what had changed since the copy before, at its place in the run
ADDRESS/000003/manifest.json   of each of the run's files where it lies, its size and its SHA-256

Nothing is ever written over. A copy counts from when its manifest is there, which comes last, after
everything else was read back; what only older ones need is then removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from videothinker.config.loading import first_difference, load_config
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.files import all_on_disk, disk_errors, partial_folder, read_json, write_json
from videothinker.run.directory import DRIVER_LOCK, WISH

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
COPIED = "copied.json"
"""In a run's folder, number and id of the copy that it made last, or was fetched from."""
NOT_COPIED = re.compile(
    rf"({DRIVER_LOCK}|{WISH}|{COPIED}|prometheus_targets\.json|.*/candidate/.*|(.*/)?\..*)"
)
"""What belongs to a driver or a machine, and what is being written."""
STATE = re.compile(r"stages/[^/]+/state/[^/]+/.*")
WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "abfs", "az", "adl", "oci", "oss"}
CHUNK = 1 << 22


class RunCopy:
    """The copies of one run at an address."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._seen: dict[str, tuple[int, int, int]] = {}
        with self._reached():
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(self.address)
        self._root = self._root.rstrip("/")

    def newest(self) -> dict[str, Any] | None:
        """The manifest of the newest copy that is whole, with its "number"; None where none is."""
        with self._reached():
            self._files.invalidate_cache()
            found = self._files.ls(self._root, detail=False) if self._there() else []
            names = [path.rstrip("/")[-6:] for path in found]
            numbers = sorted(int(name) for name in names if name.isdecimal())
            for number in reversed(numbers):
                try:
                    content = json.loads(self._files.cat_file(self._place(number, MANIFEST)))
                    return {"number": number, "id": content["id"], "files": content["files"]}
                except (FileNotFoundError, ValueError, KeyError, TypeError):  # it was broken off
                    continue
        return None

    def try_out(self) -> None:
        """InputError where nothing can be kept there."""
        with self._reached():
            probe = f"{self._root}/probe"
            self._make_folder(self._root)
            self._files.pipe_file(probe, b"videothinker")
            self._files.rm_file(probe)

    def put(self, run: Path, state: Path | None) -> None:
        """Copy a run as it is now, of its states this one alone."""
        with self._reached():
            before = self.require_ours(run) or {"number": 0, "files": {}}
            number, known = before["number"] + 1, before["files"]
            files: dict[str, dict[str, Any]] = {}
            for path in _copied(run, state):
                name = path.relative_to(run).as_posix()
                try:
                    files[name] = self._kept(path, name, known.get(name), number)
                except FileNotFoundError:
                    if STATE.fullmatch(name):
                        raise
            ours = {"number": number, "id": uuid4().hex}
            write_json(run / COPIED, ours)  # first: whoever is killed in between knows it again
            written = json.dumps({"id": ours["id"], "files": files}).encode()
            self._make_folder(self._place(number))
            self._files.pipe_file(self._place(number, MANIFEST), written)
            if self._files.cat_file(self._place(number, MANIFEST)) != written:
                raise OSError(f"{MANIFEST} is not as it was written")
            self._sweep(known, files, number)

    def fetch(self, manifest: dict[str, Any], run: Path, config: RunConfig) -> None:
        """The run into its folder, which has no config.yaml; what makes it a run comes last.
        InputError where it is a run of another configuration."""
        files = dict(manifest["files"])
        with disk_errors(run), partial_folder(run) as partial, self._reached():
            self._get("config.yaml", files.pop("config.yaml"), partial)
            difference = first_difference(config, load_config(partial / "config.yaml"))
            if difference is not None:
                raise InputError(
                    f"copy_to: {self.address} has a copy of a run of another configuration:"
                    f" {difference}. Name another address: copy_to=ADDRESS"
                )
            for name, entry in files.items():
                self._get(name, entry, partial)
            write_json(partial / COPIED, {name: manifest[name] for name in ("number", "id")})
            all_on_disk(partial)
            for path in sorted(partial.iterdir(), key=lambda path: path.name == "config.yaml"):
                path.replace(run / path.name)

    def require_ours(self, run: Path) -> dict[str, Any] | None:
        """The newest copy; InputError where somebody else made it, who went on with an older."""
        newest, ours = self.newest(), read_json(run / COPIED)
        theirs = newest is not None and newest["id"] != ours.get("id")
        if newest is not None and theirs and newest["number"] >= ours.get("number", 0):
            raise InputError(
                f"{run}: the copy at {self.address} is newer (number {newest['number']}, this"
                f" folder's last is {ours.get('number', 'none')}). Move the folder away to go on"
                " from the copy, or name another address: copy_to=ADDRESS"
            )
        return newest

    def _kept(
        self, path: Path, name: str, known: dict[str, Any] | None, number: int
    ) -> dict[str, Any]:
        """Where a file lies, copied if it is not there yet."""
        with path.open("rb") as file:
            found = path.stat()
            looks = (found.st_ino, found.st_size, found.st_mtime_ns)
            if known is not None and known["bytes"] == found.st_size:
                same = self._seen.get(name) == looks
                if same or known["sha256"] == _sum(_chunks(file, found.st_size)):
                    self._seen[name] = looks
                    return known
            file.seek(0)
            place, digest = self._place(number, name), hashlib.sha256()
            self._make_folder(place.rpartition("/")[0])
            with self._files.open(place, "wb") as copy:
                for chunk in _chunks(file, found.st_size):
                    digest.update(chunk)
                    copy.write(chunk)
        if self._sum_of(place) != digest.hexdigest():
            raise OSError(f"{name} is not as it was written")
        self._seen[name] = looks
        return {"in": number, "bytes": found.st_size, "sha256": digest.hexdigest()}

    def _get(self, name: str, entry: dict[str, Any], folder: Path) -> None:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise OSError(f"{name} leads out of the run")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._files.get_file(self._place(entry["in"], name), str(target))
        with target.open("rb") as file:
            if _sum(_chunks(file, target.stat().st_size)) != entry["sha256"]:
                raise OSError(f"{name} is not as it was written")

    def _sweep(self, before: dict[str, Any], now: dict[str, Any], number: int) -> None:
        """What the newest copy does not need, of the one before it and of attempts at this one."""
        needed = {self._place(entry["in"], name) for name, entry in now.items()}
        needed.add(self._place(number, MANIFEST))
        old = {self._place(entry["in"], name) for name, entry in before.items()}
        old |= {*self._files.find(self._place(number)), self._place(number - 1, MANIFEST)}
        for path in old - needed:
            with suppress(FileNotFoundError):
                self._files.rm_file(path)

    def _sum_of(self, place: str) -> str:
        with self._files.open(place, "rb") as file:
            return _sum(iter(lambda: file.read(CHUNK), b""))

    def _place(self, number: int, name: str = "") -> str:
        return f"{self._root}/{number:06d}/{name}".rstrip("/")

    def _make_folder(self, place: str) -> None:
        """Where there are any; a store of objects would take a mistyped name for a wish."""
        protocol = self._files.protocol
        if not WITHOUT_FOLDERS & {protocol, *protocol}:
            self._files.makedirs(place, exist_ok=True)

    def _there(self) -> bool:
        return bool(self._files.exists(self._root))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """What libraries of storage raise becomes a line that names the address."""
        try:
            yield
        except VideoThinkerError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise InputError(
                f"copy_to: {self.address} cannot be used ({said}). Look at the address, and at the"
                " environment's credentials for it"
            ) from error


def uncopied(address: str | None) -> list[str]:
    """Why nothing can be copied to an address, as a line."""
    try:
        if address is not None:
            RunCopy(address).try_out()
    except InputError as error:
        return [str(error)]
    return []


class Copying:
    """Copies made by a thread beside the training, of which one is on its way at most."""

    def __init__(self, run: Path, address: str | None) -> None:
        self._run = run
        self._copy = None if address is None else RunCopy(address)
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self.state: Path | None = None
        """The state that is being copied, which must not go meanwhile."""

    def begin(self, state: Path | None) -> None:
        """Copy the run with this state; where another copy is not done, the next one has it."""
        if self._copy is None:
            return
        if self._thread is not None and self._thread.is_alive():
            logger.warning("copy_to: %s takes longer than states do; one is left out", self.address)
            return
        self.state = state
        self._thread = threading.Thread(target=self._make, args=(self._copy,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return "" if self._copy is None else self._copy.address

    def wait(self) -> None:
        """For the copy that is on its way."""
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Copy the run as it ends; VideoThinkerError where that fails."""
        self.wait()
        self.begin(None)
        self.wait()
        if self._failure is not None:
            raise VideoThinkerError(
                f"{self._run}: it is finished, and its copy is not whole: {self._failure}. Copy the"
                " folder yourself"
            ) from self._failure

    def _make(self, copy: RunCopy) -> None:
        try:
            copy.put(self._run, self.state)
            self._failure = None
        except VideoThinkerError as error:
            if self._failure is None:
                logger.warning("%s; the run goes on, and the next state is copied again", error)
            self._failure = error
        finally:
            self.state = None


def _copied(run: Path, state: Path | None) -> Iterator[Path]:
    """Files of a run; the others' states are left out."""
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        other = STATE.fullmatch(name) and (state is None or not path.is_relative_to(state))
        if (
            path.is_file()
            and not path.is_symlink()
            and not other
            and not NOT_COPIED.fullmatch(name)
        ):
            yield path


def _chunks(file: Any, size: int) -> Iterator[bytes]:
    """The first bytes of a file that may be growing."""
    while size and (chunk := file.read(min(CHUNK, size))):
        size -= len(chunk)
        yield chunk


def _sum(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
