"""Data sets of the Hub: their files of questions, pinned to a commit, brought into the cache.

A name is OWNER/NAME or OWNER/NAME@REVISION; of a part, hf://datasets/OWNER/NAME@REVISION/PATH,
where PATH is a file or what the paths of several begin with. Videos are not fetched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from videothinker.config.hub_names import DEFAULT_REVISION, PART, is_hub_name
from videothinker.data.own.rows import KNOWN, of_one_kind
from videothinker.errors import InputError
from videothinker.hub.library import SECONDS, answered, told

SCHEME = "hf://datasets/"
NAME = re.compile(
    rf"(?P<repository>{PART}/{PART})(?:@(?P<revision>[A-Za-z0-9_.-]+))?(?:/(?P<part>.+))?"
)


def is_dataset_name(text: str) -> bool:
    """Whether questions are on the Hub: written so, and nothing here is called that."""
    return text.startswith(SCHEME) or (is_hub_name(text) and Path(text).suffix not in KNOWN)


def fetch(name: str) -> tuple[str, list[Path]]:
    """The name with its commit, and the files of questions in the cache; InputError where there are
    none, or those of several splits."""
    from huggingface_hub import snapshot_download

    found = NAME.fullmatch(name.removeprefix(SCHEME))
    if found is None:
        raise InputError(f"{name}: no name of a data set; give {SCHEME}OWNER/NAME@REVISION/PATH")
    repository, part = found["repository"], found["part"] or ""
    with told(name, "data set"):
        commit, present = _present(repository, found["revision"] or DEFAULT_REVISION)
        inside = [part] if part in present else [p for p in present if p.startswith(part)]
        files = of_one_kind(name, [PurePosixPath(path) for path in inside], SCHEME + repository)
        folder = snapshot_download(
            repository,
            repo_type="dataset",
            revision=commit,
            allow_patterns=[_literal(file) for file in files],
        )
    pinned = f"{SCHEME}{repository}@{commit}" + (f"/{part}" if part else "")
    return pinned, [Path(folder) / file for file in files]


def _present(repository: str, revision: str) -> tuple[str, Sequence[str]]:
    """What a revision holds: as the Hub says, or as the cache has it where the Hub is silent."""
    from huggingface_hub import HfApi, errors, snapshot_download

    try:
        info = HfApi().dataset_info(repository, revision=revision, timeout=SECONDS)
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        if answered(error):
            raise
        folder = Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision, local_files_only=True
            )
        )
        files = (file for file in folder.rglob("*") if file.is_file())
        return folder.name, sorted(file.relative_to(folder).as_posix() for file in files)
    return str(info.sha), sorted(file.rfilename for file in info.siblings or ())


def _literal(path: PurePosixPath) -> str:
    """A path as a pattern that fits nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))
