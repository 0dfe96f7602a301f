"""Models of the Hub: found, pinned to a commit, brought into the cache; exported ones pushed.

`huggingface_hub` does the work and owns the cache, the token and the bars of progress. What is
ours: only weights that are numbers and the texts beside them are fetched, and what fails says what
to do. Everything after a verb's start sees a folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from videothinker.config.hub_names import NAME, is_hub_name, name_parts
from videothinker.config.loading import load_config
from videothinker.config.settings import RunConfig
from videothinker.errors import InputError, VideoThinkerError
from videothinker.hub.library import LOGIN, SECONDS, answered, cache, told
from videothinker.model.card import CARD, license_in
from videothinker.model.checkpoint import (
    ADAPTER,
    PICKLED,
    base_of,
    is_adapter,
    named_base,
    require_safe,
)
from videothinker.model.families.known import TITLES, shape_of

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
WANTED = (*WEIGHTS, "*.json", "*.txt", "*.jinja", CARD, "LICENSE", "LICENSE.md")
"""What a model consists of. Weights that are programs, and code, are never asked for."""
ELSEWHERE = ("*/*",)
"""Folders of a repository hold other formats of the same weights, or checkpoints on the way."""
COMMIT = re.compile("[0-9a-f]{40}")
GB = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a name stands for at the moment."""

    name: str
    commit: str
    lacking: int = 0
    """Bytes that are not in the cache."""
    adapter: bool = False
    """Whether it is one, which has a base."""

    def __str__(self) -> str:
        if not self.lacking:
            return f"{self.name} is commit {self.commit}, which is in the cache"
        size = f"{self.lacking / GB:.1f} GB" if self.lacking >= GB / 10 else f"{self.lacking:,} B"
        return f"{self.name} is commit {self.commit}; {size} of it would be fetched into {cache()}"


def remembered(config: RunConfig) -> RunConfig:
    """With the commits that the run in its folder was begun with: a branch may have moved since."""
    run = config.out / "config.yaml"
    if not config.hub_names or not run.is_file():
        return config
    before = load_config(run).pinned
    kept = {name: before[name] for name in config.hub_names if name in before}
    return config.model_copy(update={"pinned": {**kept, **config.pinned}})


def fetched(config: RunConfig) -> tuple[RunConfig, RunConfig]:
    """The configuration with every Hub's name pinned to its commit, for the run's folder; and with
    folders in the place of names, for everybody else."""
    folders = {name: fetch(name, config.pinned.get(name)) for name in config.hub_names}
    if not folders:
        return config, config
    pins = {name: folder.name for name, folder in folders.items()}
    pinned = config.model_copy(update={"pinned": pins})
    return pinned, _placed(pinned, folders)


def outlook(config: RunConfig) -> list[str]:
    """What training would fetch; of a model that cannot be asked for, the checks speak."""
    said = []
    for name in config.hub_names:
        with suppress(InputError):
            said.append(str(find(name, config.pinned.get(name))))
    return said


def at_hand(config: RunConfig) -> RunConfig:
    """With folders in the place of those names whose models are in the cache; asks nobody."""
    found = {name: _cached(name, config.pinned.get(name)) for name in config.hub_names}
    return _placed(config, {name: folder for name, folder in found.items() if folder})


def model_folder(text: str) -> Path:
    """The folder of a model that is given by its folder or its Hub's name; of an adapter the base
    is fetched, too, where it has a Hub's name and is not here."""
    folder = fetch(text) if is_hub_name(text) else Path(text)
    if is_adapter(folder):
        name, commit = named_base(folder)
        with suppress(InputError):
            base_of(folder)
            return folder
        if is_hub_name(name):
            fetch(name, commit)
    return folder


def find(name: str, commit: str | None = None) -> Found:
    """What a name stands for, without fetching any of it.

    The Hub is asked, unless the commit is known and lies in the cache; the cache, where the Hub
    cannot be. InputError where there is no such model, or none that would be loaded.
    """
    from huggingface_hub import HfApi, errors

    repository, revision = name_parts(name)
    revision = commit or revision
    known = _cached(name, commit)
    if known and COMMIT.fullmatch(revision):
        return Found(name=name, commit=known.name, adapter=is_adapter(known))
    with told(name):
        try:
            info = HfApi().model_info(
                repository, revision=revision, files_metadata=True, timeout=SECONDS
            )
        except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
            if known is None or answered(error):
                raise
            return Found(name=name, commit=known.name, adapter=is_adapter(known))
    sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or ()}
    _require_weights(name, sizes)
    lacking = _lacking(repository, info.sha, sizes)
    return Found(name=name, commit=str(info.sha), lacking=lacking, adapter=ADAPTER in sizes)


def fetch(name: str, commit: str | None = None) -> Path:
    """A model's folder in the cache, called by its commit; what is not there is fetched."""
    from huggingface_hub import snapshot_download

    found = find(name, commit)
    repository, revision = name_parts(name)
    _require_room(found)
    _require_family(found)
    with told(name):
        folder = snapshot_download(
            repository,
            revision=commit or revision,
            allow_patterns=[*WANTED],
            ignore_patterns=[*ELSEWHERE],
        )
    require_safe(Path(folder))
    return Path(folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What the Hub has of a model that was uploaded."""

    url: str
    commit: str
    left_out: list[str]
    """Files of the folder that are no part of a model."""


def push(model: Path, repository: str, private: bool = False, branch: str | None = None) -> Pushed:
    """Upload an exported model with its card; weights that the repository had before are replaced.

    `private` holds for a repository that is made, and is checked of one that is there.
    """
    from huggingface_hub import HfApi, get_token

    _require_pushable(model, repository)
    if get_token() is None:
        raise InputError(f"{repository}: the Hub has to know who writes to it: {LOGIN}")
    api = HfApi()
    with told(repository):
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository, timeout=SECONDS).private:
            raise InputError(
                f"{repository}: is there and is public. Name another, make it private in its"
                " settings, or leave out --private"
            )
        if branch:
            api.create_branch(repository, branch=branch, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=model,
            revision=branch,
            commit_message=f"Upload {'/'.join(model.resolve().parts[-2:])}",
            allow_patterns=[*WANTED],
            ignore_patterns=[*ELSEWHERE],
            delete_patterns=[*WEIGHTS],
        )
    present = sorted(file.name for file in model.iterdir())
    return Pushed(
        url=f"{api.endpoint}/{repository}" + (f"/tree/{branch}" if branch else ""),
        commit=done.oid,
        left_out=[name for name in present if name not in set(_wanted(present))],
    )


def unlicensed(model: Path) -> bool:
    """Whether a model's card leaves its license open."""
    return "license" not in license_in(model)


def _placed(config: RunConfig, folders: Mapping[str, Path]) -> RunConfig:
    model = config.model
    if (folder := folders.get(str(model.path))) is not None:
        model = model.model_copy(update={"path": folder})
    stages = []
    for stage in config.stages:
        if (folder := folders.get(stage.kl.anchor)) is not None:
            anchored = stage.kl.model_copy(update={"anchor": str(folder)})
            stage = stage.model_copy(update={"kl": anchored})
        stages.append(stage)
    return config.model_copy(update={"model": model, "stages": tuple(stages)})


def _cached(name: str, commit: str | None) -> Path | None:
    """The folder of a revision that is whole in the cache, as far as the cache can tell."""
    from huggingface_hub import errors, snapshot_download

    repository, revision = name_parts(name)
    try:
        folder = snapshot_download(
            repository,
            revision=commit or revision,
            allow_patterns=[*WANTED],
            ignore_patterns=[*ELSEWHERE],
            local_files_only=True,
        )
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        return None
    found = Path(folder)
    named = is_adapter(found) or (found / "config.json").is_file()
    whole = named and any(found.glob("*.safetensors"))
    return found if whole else None


def _lacking(repository: str, commit: str | None, sizes: Mapping[str, int]) -> int:
    from huggingface_hub import try_to_load_from_cache

    absent = [
        name
        for name in _wanted(sizes)
        if not isinstance(try_to_load_from_cache(repository, name, revision=commit), str)
    ]
    return sum(sizes[name] for name in absent)


def _wanted(names: Iterable[str]) -> list[str]:
    from huggingface_hub.utils import filter_repo_objects

    return list(filter_repo_objects(names, allow_patterns=[*WANTED], ignore_patterns=[*ELSEWHERE]))


def _require_weights(name: str, files: Iterable[str]) -> None:
    here = [file for file in files if "/" not in file]
    if not {"config.json", ADAPTER} & {*here}:
        raise InputError(f"{name}: no model there (no config.json). Name a {TITLES}")
    if any(file.endswith(".safetensors") for file in here):
        return
    pickled = [file for file in sorted(here) if file.endswith(PICKLED)]
    found = f"only {pickled[0]}, and loading that would run what is in it" if pickled else "none"
    raise InputError(
        f"{name}: no *.safetensors in it ({found}). Name a model whose weights are safetensors"
    )


def _require_family(found: Found) -> None:
    """Read its configuration before gigabytes of another kind of model are fetched; an adapter's
    base has one."""
    from huggingface_hub import hf_hub_download

    if found.adapter:
        return
    with told(found.name):
        file = hf_hub_download(name_parts(found.name)[0], "config.json", revision=found.commit)
    try:
        shape_of(Path(file).parent)
    except InputError as error:
        raise InputError(f"{found.name}: {error}") from error


def _require_room(found: Found) -> None:
    there = Path(cache())
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if found.lacking > free:
        raise VideoThinkerError(
            f"{found.name}: {found.lacking / GB:.1f} GB are to be fetched into {cache()}, which"
            f" has room for {free / GB:.1f}. Free some, or name another folder: HF_HOME"
        )


def _require_pushable(model: Path, repository: str) -> None:
    named = NAME.fullmatch(repository)
    if named is None or named["revision"]:
        raise InputError(
            f"{repository}: not a name for a model on the Hub; give OWNER/NAME, and a branch as"
            " --revision BRANCH"
        )
    if not (is_adapter(model) or (model / "config.json").is_file()):
        raise InputError(f"{model}: no model there (no config.json); name its folder")
    require_safe(model)
    if not (model / CARD).is_file():
        raise InputError(
            f"{model}: no model card in it ({CARD}). Push what a run exported"
            " (RUN/stages/NAME/model), or write one"
        )
