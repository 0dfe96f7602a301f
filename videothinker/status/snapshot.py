"""A run as its files tell it at one moment; for whoever looks at it, never for whoever runs it.

Reading never fails over a file that is torn, half written or absent: what cannot be read is left
out, and named in `unreadable`. Nothing is written.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from videothinker.errors import InputError

Fields = Mapping[str, Any]
"""What a file, or a line of one, says by name; everything in it may be of any type."""
MOST_STEPS = 4_000
"""Ten for each point of a chart; a run of 50,000 would take half a GB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of a run and how far it is."""

    name: str
    done: int
    steps: int
    prompts_per_step: int
    state: str
    """done, current or to come"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """What the files of a run said when they were read."""

    path: Path
    now: float
    """Unix seconds of the reading."""
    config: Fields
    status: Fields
    summary: Fields
    metrics: Sequence[Fields]
    """One line a step, in order; each has a `stage` (text) and a `step` (number)."""
    every: int
    """Of a long run, each of how many steps `metrics` has; beside the first and last of a stage."""
    validations: Sequence[Fields]
    """How well a stage answered after some of its steps, in order."""
    events: Sequence[Fields]
    skipped: Sequence[Fields]
    targets: Sequence[Fields]
    """Processes that serve metrics, as RUN/prometheus_targets.json lists them."""
    last_word: float
    """Unix seconds of the newest sign of its driver."""
    unreadable: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the run is called."""
        return str(self.config.get("name") or self.status.get("name") or self.path.name)

    @property
    def state(self) -> str:
        """What the run itself said last."""
        return str(self.status.get("state") or "unknown")

    @property
    def stages(self) -> list[Stage]:
        """Every configured stage, in order."""
        finished = {
            str(one.get("name")): whole(one.get("steps"))
            for one in records(self.summary.get("stages"))
        }
        current = str(self.status.get("stage"))
        return [self._stage(one, finished, current) for one in records(self.config.get("stages"))]

    def _stage(self, one: Fields, finished: Mapping[str, int], current: str) -> Stage:
        name, steps = str(one.get("name")), whole(one.get("steps"))
        if name in finished:
            done, state = finished[name] or steps, "done"
        elif name == current:
            done, state = whole(self.status.get("step")), "current"
        else:
            done, state = 0, "to come"
        return Stage(
            name=name,
            done=min(done, steps),
            steps=steps,
            prompts_per_step=max(1, whole(one.get("prompts_per_step"))),
            state=state,
        )


def read_snapshot(run: Path, tail: int | None = None) -> Snapshot:
    """Everything a run's files say now; of those that grow by the step, the last `tail` bytes, or
    what a page has room for.
    """
    run = Path(run)
    if not (run / "config.yaml").is_file() and not (run / "status.json").is_file():
        found = "no config.yaml in it" if run.is_dir() else "no such folder"
        raise InputError(
            f"{run}: not a run ({found}). Give the folder `videothinker train` wrote, such as"
            " runs/quickstart"
        )
    bad: list[str] = []
    status = _value(run / "status.json", dict, bad)
    metrics, every = _steps(run / "metrics.jsonl", tail)
    events = read_objects(run / "events.jsonl", tail)
    return Snapshot(
        path=run,
        now=time.time(),
        config=_value(run / "config.yaml", dict, bad),
        status=status,
        summary=_value(run / "summary.json", dict, bad),
        metrics=once(metrics),
        every=every,
        validations=once(read_objects(run / "validation.jsonl", tail)),
        events=events,
        skipped=read_objects(run / "skipped.jsonl"),
        targets=records(_value(run / "prometheus_targets.json", list, bad)),
        last_word=_last_word(run, status, metrics, events),
        unreadable=tuple(bad),
    )


def read_objects(path: Path, tail: int | None = None) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; lines that are torn, or no objects, are left out."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - tail) if tail else 0)
            data = file.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return []
    found = (_parsed(line) for line in data.split(b"\n"))
    return [entry for entry in found if isinstance(entry, dict)]


def _steps(path: Path, tail: int | None) -> tuple[list[dict[str, Any]], int]:
    """The lines of metrics.jsonl, and each of how many that is."""
    count = 0
    if tail is None and path.is_file():
        with path.open("rb") as file:
            count = sum(1 for _ in file)
    every = -(-count // MOST_STEPS)
    if every <= 1:
        return read_objects(path, tail), 1
    with path.open("rb") as file:
        found = [_parsed(line) for line in _each_of(every, file)]
    return [entry for entry in found if isinstance(entry, dict)], every


def _each_of(every: int, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Of each stage the first and the last line, and one of so many between them."""
    for _, own in groupby(lines, key=_stage_of):
        for place, line in enumerate(own):
            if place % every == 0:
                yield line
        if place % every:
            yield line


def _stage_of(line: bytes) -> bytes:
    """As it stands there: a long file is not parsed for it."""
    return line.partition(b'"stage": ')[2].partition(b",")[0]


def each_step(path: Path) -> Iterator[dict[str, Any]]:
    """All lines of metrics.jsonl that name a stage and a step, one after the other."""
    if path.is_file():
        with path.open("rb") as file:
            lines = (_parsed(line) for line in file)
            yield from (line for line in lines if isinstance(line, dict) and _is_step(line))


def once(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a step: a step replayed after a crash counts with its last line."""
    latest = {(line["stage"], line["step"]): line for line in lines if _is_step(line)}
    return list(latest.values())


def _is_step(line: Fields) -> bool:
    return isinstance(line.get("stage"), str) and number(line.get("step")) is not None


def number(value: object) -> float | None:
    """A finite number, or None for anything else a file may hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: object) -> int:
    """A number of things; 0 for anything that is none."""
    return max(0, int(number(value) or 0))


def records(value: object) -> list[dict[str, Any]]:
    """The mappings in a list; none for anything else a file may hold."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _value(path: Path, kind: type[dict[str, Any] | list[Any]], bad: list[str]) -> Any:
    """What a file holds; nothing where it is absent, or holds no such thing and so is bad."""
    if not path.is_file():
        return kind()
    parse = yaml.safe_load if path.suffix == ".yaml" else json.loads
    value = _parsed(path.read_bytes(), parse)
    if isinstance(value, kind):
        return value
    bad.append(path.name)
    return kind()


def _parsed(data: bytes, parse: Callable[[bytes], Any] = json.loads) -> Any:
    try:
        return parse(data)
    except (ValueError, RecursionError, yaml.YAMLError):
        return None


def _last_word(run: Path, status: Fields, *grown: Sequence[Fields]) -> float:
    """When the driver last wrote something, as it says itself: a copy of the folder says the same.

    A run that has not said anything yet is as old as its configuration.
    """
    times = [number(status.get("updated"))]
    times += [number(lines[-1].get("time")) for lines in grown if lines]
    known = [moment for moment in times if moment is not None]
    if known:
        return max(known)
    return max(file.stat().st_mtime for file in run.iterdir())
