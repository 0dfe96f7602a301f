"""Every kind of writing, against a disk that fails: `python tests/disk_places.py FOLDER`, preloaded
with tests/failing_disk.c. Prints as JSON, by place and fault, what was raised and what was left.
"""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from builders import completion, group
from failing_disk import BROKEN, FULL, READ_ONLY, fault, with_fault

from cluster.loop.kept import Answers
from cluster.loop.states import States
from videothinker.errors import VideoThinkerError
from videothinker.files import atomic_write, file_digest, whole_folder, write_table
from videothinker.model.adapters import write_adapter
from videothinker.run.directory import RunDirectory
from videothinker.run.draws import note_draws
from videothinker.run.lock import locked
from videothinker.types import ScoredGroup

Write = Callable[[Path], Any]


def torch_file(folder: Path) -> None:
    with whole_folder(folder / "out", replace=True) as partial:
        torch.save({"a": torch.zeros(100_000)}, partial / "file.pt")


def deepspeed_file(folder: Path) -> None:
    with whole_folder(folder / "out", replace=True) as partial:
        path, tensors = partial / "file.pt", {"a": torch.zeros(100_000)}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)


def adapter(folder: Path) -> None:
    with whole_folder(folder / "out", replace=True) as partial:
        write_adapter(partial, {}, {"a": torch.zeros(100_000)})


def parquet(folder: Path) -> None:
    write_table(folder / "file.parquet", pa.table({"a": list(range(1000))}))


def lock(folder: Path) -> None:
    with locked(folder):
        pass


def scored() -> ScoredGroup:
    zeros = np.zeros(2, np.float32)
    return ScoredGroup(
        group=group(completion(), completion()),
        rewards={"format": zeros},
        advantages=zeros,
        anchor_logprobs=None,
    )


ENDING: dict[str, Write] = {
    "atomic_write": lambda folder: atomic_write(folder / "file", "new"),
    "parquet": parquet,
    "torch": torch_file,
    "deepspeed": deepspeed_file,
    "adapter": adapter,
    "metrics": lambda folder: RunDirectory(folder).record({"step": 1}),
    "skipped": lambda folder: RunDirectory(folder).skip("a", 1, "q", "why"),
    "summary": lambda folder: RunDirectory(folder).summary({}),
    "draws": lambda folder: note_draws(folder, {"step": 1}),
    "answers": lambda folder: Answers(folder, {}),
    "lock": lock,
}
SPARED: dict[str, Write] = {
    "status": lambda folder: RunDirectory(folder).status(state="training"),
    "events": lambda folder: RunDirectory(folder).event({"event": "started"}),
    "rollouts": lambda folder: RunDirectory(folder).rollouts("a", 1, [scored()]),
}
FAULTS = {
    "full": (("write",), FULL),
    "quota": (("write",), errno.EDQUOT),
    "broken": (("write",), BROKEN),
    "unflushed": (("fsync",), BROKEN),
    "share gone": (("open",), errno.ESTALE),
    "read-only": (("open", "mkdir"), READ_ONLY),
    "no rename": (("rename",), FULL),
}


def tried(write: Write, folder: Path, calls: tuple[str, ...], error: int) -> dict[str, Any]:
    """What a fault did: the error, its exit code, and which files are there afterwards."""
    folder.mkdir(parents=True)
    found: dict[str, Any] = {"error": None, "said": "", "code": 0}
    log = folder.parent / f"{folder.name}.log"
    with with_fault(fault(f"{folder}/*", *calls, error=error, log=log)):
        try:
            write(folder)
        except (VideoThinkerError, OSError, RuntimeError) as problem:
            code = problem.exit_code if isinstance(problem, VideoThinkerError) else None
            found = {"error": type(problem).__name__, "said": str(problem), "code": code}
    left = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return {**found, "left": left, "met": log.is_file(), "folder": str(folder)}


class Writes:
    """A learner whose state is a file."""

    def save_state(self, folder: Path) -> None:
        (folder / "shard.pt").write_bytes(b"shard")
        digests = {"shard.pt": file_digest(folder / "shard.pt")}
        (folder / "rank_0.json").write_text(json.dumps({"digests": digests}))


def of_two_states(out: Path) -> list[str]:
    """What the disk was asked for when a second state took the place of the first."""
    run, log = RunDirectory.create(out / "run", ""), out / "order.log"
    states = States(run)
    states.save(Writes(), "a", 1, 1)  # type: ignore[arg-type]
    states.wait()
    with with_fault(fault(f"{run.path}/stages/*", "fsync", "rename", "unlink", log=log)):
        states.save(Writes(), "a", 2, 1)  # type: ignore[arg-type]
        states.wait()
    named = log.read_text().replace(f"{run.path}/stages/a/", "")
    return re.sub(r"\.\w+\.partial", ".partial", named).splitlines()


def main() -> None:
    """Every place under every fault, and the order of what is asked of a disk."""
    out, results = Path(sys.argv[1]), dict[str, dict[str, Any]]()
    for place, write in {**ENDING, **SPARED}.items():
        results[place] = {
            name: tried(write, out / place / name.replace(" ", "-"), *about)
            for name, about in FAULTS.items()
        }
    results["order"] = {"": of_two_states(out)}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
