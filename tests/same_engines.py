"""Runs after each other by the same processes: most of a small run is the start of its engines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from cluster import train
from cluster.start.launch import launch
from cluster.workers.fleet import Fleet
from videothinker.config.settings import RunConfig
from videothinker.run.directory import RunDirectory


@contextmanager
def same_engines(config: RunConfig, folder: Path) -> Iterator[None]:
    """All runs in this block are by processes that are started once, under this configuration."""

    def there(*_: object) -> nullcontext[Fleet]:
        return nullcontext(fleet)

    with (
        launch(config, RunDirectory.create(folder, "")) as fleet,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(train, "launch", there)
        yield
