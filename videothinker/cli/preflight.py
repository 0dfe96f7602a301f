"""The training that a command asks for: its configuration, and what it lacks here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videothinker.config.checks import check_paths, check_upload
from videothinker.config.loading import load_config, to_yaml
from videothinker.config.settings import RunConfig
from videothinker.errors import ConfigError, InputError
from videothinker.planning.plan import least


def asked_config(
    words: Sequence[str], resume: Path | None = None, paths_from: Path | None = None
) -> tuple[RunConfig, Path]:
    """The configuration named by a command's words, and the file it came from.

    `paths_from` becomes the working directory, because relative paths count from there; all but
    that of the configuration file.
    """
    overrides: list[str] = []
    if resume:
        if words:
            raise InputError(
                f"--resume {resume} goes on with the configuration that run was started with;"
                f" leave {words[0]} out"
            )
        source = resume / "config.yaml"
    else:
        source, overrides = one_file(
            words, "videothinker train configs/cdpo.yaml learner.learning_rate=2e-6"
        )
    if paths_from:
        source = source if resume else source.absolute()
        _enter(paths_from)
    if resume and not source.is_file():
        raise InputError(f"{source}: no such file; --resume takes the folder of a run")
    return load_config(source, overrides), source


def one_file(words: Sequence[str], example: str) -> tuple[Path, list[str]]:
    """The configuration file among a command's words, and the overrides."""
    files = [word for word in words if "=" not in word]
    if len(files) != 1:
        found = f"{len(files)} were given ({', '.join(files)})" if files else "none was given"
        raise InputError(f"one configuration file is needed and {found}; for example: {example}")
    return Path(files[0]), [word for word in words if "=" in word]


def missing_files(config: RunConfig) -> list[str]:
    """What the configuration names and this machine lacks, and what would be lost, as lines."""
    return check_upload(config) or check_paths(config)


def require_files(missing: Sequence[str], source: Path) -> None:
    """ConfigError where something is missing."""
    if missing:
        lines = [f"{source} cannot be run:", *(f"  - {line}" for line in missing)]
        raise ConfigError("\n".join(lines))


def dry_run(config: RunConfig, source: Path, missing: Sequence[str]) -> dict[str, Any]:
    """What there is to say of a training that is not started: text, notes and result."""
    notes = [f"warning: {line}" for line in missing]
    steps = ", ".join(f"{stage.name} {stage.steps} steps" for stage in config.stages)
    absent = f"; {len(missing)} things are missing on this machine, see above" if missing else ""
    notes.append(f"{source} is a valid configuration: {steps}{absent}")
    if needed := least(config):
        notes.append(f"it takes at least {needed} (`videothinker plan` says what goes where)")
    result = {"config": config.model_dump(mode="json"), "missing": list(missing)}
    return {"text": to_yaml(config).rstrip(), "result": result, "notes": notes}


def _enter(folder: Path) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise InputError(
            f"--paths-from {folder}: {error.strerror}; name a folder that every machine of the"
            " cluster sees"
        ) from error
