"""What the driver hands from role to role: references and small results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from videothinker.types import Failure, Question

T = TypeVar("T")
Order = tuple[int, ...]
"""Work of a smaller order is begun first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A question whose prompt lies in the object store, or the reason why not."""

    question: Question
    prompt: Any
    """Reference to the Prompt; it goes from process to process and is never fetched here. None
    where there is none, or none any more."""
    failure: Failure | None
    size: int = 0
    """Bytes of the prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """Prompts that one engine samples side by side."""

    prepared: tuple[Prepared, ...]
    places: tuple[int, ...]
    """Of each prompt in its step."""
    seeds: tuple[int, ...]
    samples: int
    temperature: float
    order: Order = ()


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """In order, none longer than `size`."""
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def units(
    prepared: Sequence[Prepared],
    seeds: Sequence[int],
    *,
    samples: int,
    temperature: float,
    together: int,
    order: Order = (),
) -> list[Unit]:
    """Those that have a prompt, some together; a seed belongs to a place among them all."""
    places = [place for place, item in enumerate(prepared) if item.failure is None]
    return [
        Unit(
            prepared=tuple(prepared[place] for place in some),
            places=tuple(some),
            seeds=tuple(seeds[place] for place in some),
            samples=samples,
            temperature=temperature,
            order=order,
        )
        for some in chunks(places, together)
    ]
