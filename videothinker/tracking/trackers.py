"""The five trackers, each as little as it takes over its own library.

What the environment says to a library (offline or not, where to, under which name) holds; `PROJECT`
and the run's own name are for what it leaves open. A library is imported when its tracker is made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import yaml

from videothinker.tracking.record import StepNumbers

PROJECT = "videothinker"
VENV = "TRACKERS_VENV"
"""Names an environment with the libraries, for those that do not fit to the versions of a run's."""
EVENTS = "tensorboard"
"""Folder of a run in which TensorBoard's files lie."""
FLUSH_SECONDS = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked:
    """A run as a tracker is told of it before its first step."""

    name: str
    path: Path
    config: Mapping[str, Any]


class Tracker(Protocol):
    """One run at a tracker; made with the id that it had before, or None for a new one."""

    id: str

    def log(self, entry: StepNumbers) -> None:
        """Numbers under STAGE/NAME, with the stage's step as the x axis."""

    def close(self, finished: bool) -> None:
        """No more will come; not finished is a run that may be resumed."""


class TensorBoard:
    """Event files in RUN/tensorboard, a folder a stage: the one that can take steps back."""

    def __init__(self, run: Tracked, id: str | None) -> None:
        self.id = id or EVENTS
        self._files = EventFiles(run.path / EVENTS, run.config)

    def log(self, entry: StepNumbers) -> None:
        self._files.log(entry)

    def close(self, finished: bool) -> None:
        self._files.close()


class EventFiles:
    """TensorBoard's files in a folder, with the configuration as a text of each stage."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._folder, self._config = folder, config
        self._writers: dict[Path, tuple[int, Any]] = {}
        self._made = 0

    def log(self, entry: StepNumbers) -> None:
        """A value a number; what a stage said of the step and those after it before counts no
        longer, where it is there again."""
        writer = self._writer(self._folder / Path(entry.stage).name, entry)
        for name, value in entry.numbers.items():
            writer.add_scalar(name, value, entry.step, entry.moment)

    def close(self) -> None:
        """Everything onto the disk."""
        for _, writer in self._writers.values():
            writer.close()

    def _writer(self, stage: Path, entry: StepNumbers) -> Any:
        """The stage's; another where steps are taken back, or `report` has replaced the folder."""
        if stage in self._writers:
            inode, writer = self._writers[stage]
            if not entry.again and stage.is_dir() and stage.stat().st_ino == inode:
                return writer
            writer.close()
        with _without_torch():
            from tensorboardX import SummaryWriter
        fresh = not stage.is_dir()
        self._made += 1  # a file's own name has but the second, and the newer of two would win
        writer = SummaryWriter(
            str(stage),
            purge_step=entry.step if entry.again else None,
            flush_secs=FLUSH_SECONDS,
            filename_suffix=f".{os.getpid()}.{self._made}",
        )
        if fresh and self._config:
            text = yaml.safe_dump(dict(self._config), sort_keys=False, allow_unicode=True)
            writer.add_text("config", f"```\n{text}```", 0)
        self._writers[stage] = (stage.stat().st_ino, writer)
        return writer


class Trackio:
    """Local files, or a Space of the Hub (TRACKIO_SPACE_ID); resumed by its name."""

    def __init__(self, run: Tracked, id: str | None) -> None:
        import trackio

        mode = "must" if id else "never"
        self._run = trackio.init(PROJECT, run.name, config=dict(run.config), resume=mode)
        self.id = str(self._run.id)
        if id not in (None, self.id):
            raise RuntimeError(f"a later run is called {run.name} too; give each its own name")

    def log(self, entry: StepNumbers) -> None:
        self._run.log(_keyed(entry), step=entry.step)

    def close(self, finished: bool) -> None:
        self._run.finish()


class Wandb:
    """Weights & Biases; the x axis of STAGE/* is STAGE/step. Its own step has to grow, also over
    the parts of a run that was resumed offline, of which each would begin with 0."""

    def __init__(self, run: Tracked, id: str | None) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=os.environ.get("WANDB_NAME") or run.name,
            id=id,
            resume="allow",
            config=dict(run.config),
        )
        self.id = str(self._run.id)
        self._stages: set[str] = set()

    def log(self, entry: StepNumbers) -> None:
        axis = f"{entry.stage}/step"
        if entry.stage not in self._stages:
            self._stages.add(entry.stage)
            self._run.define_metric(axis)
            self._run.define_metric(f"{entry.stage}/*", step_metric=axis)
        self._run.log({axis: entry.step, **_keyed(entry)}, step=entry.order)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class Mlflow:
    """MLflow; parameters are the configuration's dotted keys, told once: they cannot change."""

    def __init__(self, run: Tracked, id: str | None) -> None:
        import mlflow

        from videothinker.config.loading import dotted_values  # the others need no pydantic

        self._mlflow = mlflow
        if id is None and not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & {*os.environ}:
            mlflow.set_experiment(PROJECT)
        name = None if id else run.name
        self.id = str(mlflow.start_run(run_id=id, run_name=name).info.run_id)
        if id is None:
            mlflow.log_params(dict(dotted_values(run.config)))

    def log(self, entry: StepNumbers) -> None:
        moment = None if entry.moment is None else round(entry.moment * 1000)
        self._mlflow.log_metrics(_keyed(entry), step=entry.step, timestamp=moment)

    def close(self, finished: bool) -> None:
        self._mlflow.end_run("FINISHED" if finished else "KILLED")


class SwanLab:
    """SwanLab; its own settings are asked for names that the environment gives."""

    def __init__(self, run: Tracked, id: str | None) -> None:
        import swanlab

        given = swanlab.Settings()
        self._run = swanlab.init(
            project=given.project.name or PROJECT,
            name=given.experiment.name or run.name,
            id=id or given.run.id,
            resume="allow",
            config=dict(run.config),
        )
        self.id = str(self._run.id)

    def log(self, entry: StepNumbers) -> None:
        self._run.log(_keyed(entry), step=entry.step)

    def close(self, finished: bool) -> None:
        self._run.finish("success" if finished else "aborted")


MADE_BY: dict[str, Callable[[Tracked, str | None], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": Trackio,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "swanlab": SwanLab,
}
LIBRARIES = {name: "tensorboardX" if name == "tensorboard" else name for name in MADE_BY}
"""What each imports, and is installed as."""


def not_installed(trackers: Sequence[str]) -> list[str]:
    """Libraries of these trackers that are not where they are told from."""
    return [library for name in trackers if not _installed(library := LIBRARIES[name])]


def _installed(library: str) -> bool:
    """Libraries make a folder of their own name where they work, which is not the library."""
    if venv := os.environ.get(VENV):
        return any(Path(venv).glob(f"lib/python*/site-packages/{library}/__init__.py"))
    spec = find_spec(library)
    return spec is not None and spec.origin is not None


def _keyed(entry: StepNumbers) -> dict[str, float]:
    return {f"{entry.stage}/{name}": value for name, value in entry.numbers.items()}


@contextmanager
def _without_torch() -> Iterator[None]:
    """tensorboardX imports torch where there is one: ten seconds and 300 MiB for a name."""
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["torch"]
