"""What the verbs do, as functions: `import videothinker; videothinker.train("configs/cdpo.yaml")`.

Each returns what its verb prints with --json, and raises what that prints as an error
(`videothinker.errors`). What they need is imported when they are called.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videothinker.config.settings import RunConfig
    from videothinker.data.own.fields import Field
    from videothinker.data.own.prepare import Reading
    from videothinker.types import AnswerKind, Wording

Paying = Callable[..., Any]
"""A function of a completion, or of a group's completions, and its question."""


def train(
    config: str | Path,
    *overrides: str,
    rewards: Sequence[str | Paying | tuple[str | Paying, float]] | None = None,
) -> dict[str, Any]:
    """Train a configuration's stages, or go on with them; returns summary.json.

    `overrides` are the command line's: "stages.0.steps=100". `rewards`, where given, pay instead of
    the configuration's: names of ours and functions, each alone or in a pair with its weight. A
    function pays in a process of its own, which loads the file that it is in; one of a notebook, or
    of the script that is run, goes there by its own source, and imports what it needs inside.
    """
    from videothinker.config.loading import load_config
    from videothinker.hub import models as hub

    source = Path(config)
    settings = load_config(source, overrides)
    if rewards is not None:
        listed = [_written(one, settings.out) for one in rewards]
        settings = load_config(source, [*overrides, f"rewards={json.dumps(listed)}"])
    return begin(hub.remembered(settings), source)[0]


def begin(
    config: RunConfig, source: Path, resume: Path | None = None
) -> tuple[dict[str, Any], Path]:
    """Check everything, then train; the summary and the run's folder."""
    from videothinker import cpu_torch
    from videothinker.cli import preflight
    from videothinker.run.lock import driving

    cpu_torch.install()
    preflight.require_files(preflight.missing_files(config), source)
    preflight.require_own_names()
    kept, here = preflight.with_models(config, source)
    with driving(kept, resume) as directory:
        from cluster import train as loop

        return loop.run(here, directory), directory.path


def ask(
    model: str | Path,
    video: str | Path,
    question: str,
    options: Sequence[str] = (),
    *,
    wording: Wording | None = None,
    budget: str | None = None,
) -> dict[str, Any]:
    """One answer about one video: `thinking`, `answer` and the whole `completion`."""
    from cluster.verbs import ask as asking
    from videothinker import cpu_torch
    from videothinker.hub.models import model_folder

    cpu_torch.install()
    return asking.run(model_folder(str(model)), Path(video), question, options, wording, budget)


def evaluate(
    model: str | Path,
    benchmark: str,
    data: str | Path,
    videos: str | Path,
    out: str | Path,
    *,
    protocol: str | None = None,
    wording: Wording | None = None,
    budget: str | None = None,
    max_tokens: int | None = None,
    subtitles: str | Path | None = None,
    workers: int = 1,
    loaders: int | None = None,
) -> dict[str, Any]:
    """Answer a benchmark and score it, or go on with it; returns result.json."""
    from cluster.verbs import evaluate as evaluation
    from videothinker import cpu_torch
    from videothinker.hub.models import model_folder

    cpu_torch.install()
    this = evaluation.Evaluation(
        model=model_folder(str(model)),
        benchmark=benchmark,
        data=Path(data),
        videos=Path(videos),
        out=Path(out),
        protocol=protocol,
        wording=wording,
        budget=budget,
        max_tokens=max_tokens,
        subtitles=None if subtitles is None else Path(subtitles),
        workers=workers,
        loaders=loaders,
    )
    return evaluation.run(this)


def merge(source: str | Path, out: str | Path) -> dict[str, Any]:
    """A whole model of an adapter and its base; of a run's folder, its last stage's adapter."""
    from videothinker import cpu_torch
    from videothinker.errors import InputError
    from videothinker.model import adapters
    from videothinker.model.checkpoint import (
        base_of,
        is_adapter,
        model_digest,
        read_budget,
        require_model,
    )
    from videothinker.model.policy import load_model
    from videothinker.progress import ProgressLine
    from videothinker.run.directory import last_model

    cpu_torch.install()
    here, there = Path(source), Path(out)
    adapter = here if is_adapter(here) else last_model(here)
    if not is_adapter(adapter):
        raise InputError(f"{adapter}: a whole model already; there is nothing to merge")
    if there.exists():
        raise InputError(f"{there}: is there already; name a new folder: --out DIR")
    require_model(adapter)
    base = base_of(adapter)
    with ProgressLine("merge") as progress:
        progress(0, 2, "loading the base")
        model = load_model(base, read_budget(adapter).dtype)
        progress(1, 2, "adding the adapter to it")
        adapters.merge(model, adapter, there)
        progress(2, 2)
    parts = {"adapter": str(adapter), "base": str(base), "out": str(there)}
    return {**parts, "digest": model_digest(there)}


def prepare(
    file: str | Path,
    videos: str | Path,
    out: str | Path,
    *,
    every: AnswerKind | None = None,
    leave_out: bool = False,
    **called: str | None,
) -> dict[str, Any]:
    """Questions of your own into what training reads; returns stats.json.

    `every`: what every answer is, where that cannot be told from the answers. `called` names fields
    that are called otherwise in the file: `question="problem"`.
    """
    from videothinker.data.own import prepare as own
    from videothinker.data.own.fields import NAMES
    from videothinker.errors import InputError
    from videothinker.progress import ProgressLine

    if unknown := sorted({*called} - {*NAMES}):
        raise InputError(f"prepare: there is no field {unknown[0]}; known: {', '.join(NAMES)}")
    fields = {field: called.get(field) for field in NAMES}
    asked = own_questions(file, Path(videos), fields, every)
    with ProgressLine("prepare") as progress:
        return own.prepare(asked, Path(out), leave_out, progress)


def own_questions(
    file: str | Path,
    videos: Path,
    called: Mapping[Field, str | None],
    every: AnswerKind | None = None,
) -> Reading:
    """Questions of your own as they will be read, from here or from a data set of the Hub."""
    from videothinker.data.own.prepare import reading
    from videothinker.hub.datasets import fetch, is_dataset_name

    if not is_dataset_name(str(file)):
        return reading(file, videos, called, every)
    source, files = fetch(str(file))
    return reading(source, videos, called, every, files)


def _written(reward: str | Paying | tuple[str | Paying, float], out: Path) -> str | dict[str, Any]:
    """A reward as a configuration has it."""
    what, weight = reward if isinstance(reward, tuple) else (reward, 1.0)
    named = {"name": what} if isinstance(what, str) else {"call": _call(what, out)}
    return {**named, "weight": weight}


def _call(function: Paying, out: Path) -> str:
    """FILE.py:FUNCTION, in the file that it is in or in one that is written beside the run."""
    from videothinker.errors import InputError
    from videothinker.files import atomic_write

    name = getattr(function, "__qualname__", type(function).__name__)
    try:
        file = inspect.getsourcefile(function)
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):
        file, source = None, ""
    if not name.isidentifier() or not source.startswith(("def ", "async def ")):
        raise InputError(
            f"rewards: {name} is no function that has a name of its own and a source; write it as"
            " `def` in a cell or at the top of a file"
        )
    if function.__module__ != "__main__" and file and Path(file).is_file():
        return f"{file}:{name}"
    beside = out.with_name(f"{out.name}-rewards") / f"{name}.py"
    beside.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(beside, source)
    return f"{beside}:{name}"
