"""What a run has written of itself, as numbers by stage and step, and what of it is news."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videothinker.files import read_json, write_json
from videothinker.status.roles import roles_of
from videothinker.status.snapshot import Fields, number, records

PLACES = ("step", "time")
"""Keys that say where a line stands; all other numbers are curves."""
RESULTS = "results"
"""What the numbers of a model's evaluation are called by: results/KIND/FIGURE."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepNumbers:
    """Numbers of one step, or of the model that came of a stage."""

    stage: str
    step: int
    moment: float | None
    """Unix seconds of the step's end; None where they are not known."""
    numbers: Mapping[str, float]
    again: bool
    """The stage went back to before this step, and has come to it once more."""
    order: int
    """How many others the tracker was told before, in all stages and starts of the run."""


class Told:
    """What one tracker was told; kept in a file, so that a resumed run goes on there."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        known = read_json(file) if file else {}
        self.id: str | None = known.get("id")
        """Of the tracker's own run."""
        self._steps: dict[str, tuple[int, float]] = known.get("steps", {})
        """By stage, the step told last and when it ended."""
        self._models: list[str] = known.get("models", [])
        self._count: int = known.get("count", 0)

    def save(self) -> None:
        """Onto the disk."""
        assert self._file
        told = {"count": self._count, "steps": self._steps, "models": self._models}
        write_json(self._file, {"id": self.id} | told)

    def news(self, lines: Iterable[Fields], models: Iterable[Fields]) -> Iterator[StepNumbers]:
        """What is new in lines of metrics.jsonl and models of summary.json; each counts as told
        once the next is asked for.

        A step that was told before is new when it ended later than the last one told: its stage
        went back to a state.
        """
        for line in lines:
            stage, step, moment = str(line["stage"]), int(line["step"]), number(line.get("time"))
            last, ended = self._steps.get(stage, (0, 0.0))
            if step > last or (moment or 0.0) > ended:
                yield self._next(stage, step, moment, scalars(line), again=step <= last)
                self._steps[stage] = (step, moment or ended)
        for model in models:
            name = str(model.get("name"))
            if name in self._models:
                continue
            if numbers := dict(_flat(RESULTS, model.get("evaluation"))):
                step = self._steps.get(name, (0, 0.0))[0]
                yield self._next(name, step, None, numbers, again=False)
            self._models.append(name)

    def _next(
        self,
        stage: str,
        step: int,
        moment: float | None,
        numbers: Mapping[str, float],
        again: bool,
    ) -> StepNumbers:
        self._count += 1
        return StepNumbers(
            stage=stage,
            step=step,
            moment=moment,
            numbers=numbers,
            again=again,
            order=self._count - 1,
        )


class Growing:
    """A run's metrics.jsonl, read as it grows; from its start again when it was replaced, as it is
    when a stage goes back."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode, self._read = 0, 0

    def lines(self) -> list[dict[str, Any]]:
        """Those that were not read before, and are whole."""
        if not self._file.is_file():
            return []
        with self._file.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._inode, self._read = inode, 0
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]


def scalars(line: Fields) -> dict[str, float]:
    """The finite numbers of one step, those of its parts as seconds/PHASE and ROLE/FIGURE."""
    seconds = line.get("seconds")
    parts = {"seconds": seconds if isinstance(seconds, dict) else {}, **roles_of(line)}
    named = dict(line)
    for name, part in parts.items():
        named |= {f"{name}/{key}": value for key, value in part.items()}
    found = ((name, number(value)) for name, value in named.items() if name not in PLACES)
    return {name: value for name, value in found if value is not None}


def models_of(summary: Fields) -> list[dict[str, Any]]:
    """The models in a summary, with their evaluations."""
    return records(summary.get("models"))


def _flat(name: str, value: object) -> Iterator[tuple[str, float]]:
    """Every finite number in nested mappings, by its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}/{key}", inner)
    elif (found := number(value)) is not None:
        yield name, found
