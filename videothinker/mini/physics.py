"""Mini CLEVRER's physics: things in the cells of a few lanes, one step a frame.

- Whatever moves goes on by a cell a frame, along its lane, until it leaves the picture.
- It hits what stands in the cell that it would enter, and stops. A centred thing that is hit takes
  the motion over in the same frame, so a row of things passes it on.
- A thing that stands off-centre is only grazed: it is nudged aside, and the mover slips into the
  neighbouring lane, where it may hit something else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from videothinker.mini.settings import COLUMNS, LANES, World


class Event(NamedTuple):
    """One collision: when, and between which two things (indices, the moving one first)."""

    frame: int
    mover: int
    struck: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """An object as it stands before the first frame."""

    colour: str
    shape: str
    lane: int
    column: int
    offset: int = 0
    """-1 or 1: off-centre towards the lane above or below, so that a hit only grazes it."""
    velocity: int = 0
    """Columns a frame."""

    @property
    def name(self) -> str:
        """How questions call it; unique, since colours are."""
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What happens in one run of the physics; F frames."""

    lanes: np.ndarray
    """[F, things] int64."""
    columns: np.ndarray
    """[F, things] int64."""
    velocities: np.ndarray
    """[F, things] int64: columns a frame."""
    nudges: np.ndarray
    """[F, things] int64: direction in which a grazing hit has pushed the thing, 0 before."""
    visible: np.ndarray
    """[F, things] bool: neither taken away nor out of the picture."""
    events: tuple[Event, ...]

    def pairs(self) -> set[frozenset[int]]:
        """Which things collide with each other, whenever that is."""
        return {frozenset((event.mover, event.struck)) for event in self.events}

    def first(self, pair: frozenset[int]) -> int | None:
        """The frame in which these two collide first."""
        return next((e.frame for e in self.events if {e.mover, e.struck} == pair), None)


@dataclass
class _Run:
    """The state of one run of the physics, a frame at a time."""

    things: tuple[Thing, ...]
    lane: list[int]
    column: list[int]
    velocity: list[int]
    nudge: list[int]
    visible: list[bool]
    events: list[Event] = field(default_factory=list)

    def occupant(self, lane: int, column: int) -> int | None:
        """The visible thing in a cell."""
        for i, visible in enumerate(self.visible):
            if visible and self.lane[i] == lane and self.column[i] == column:
                return i
        return None

    def advance(self, i: int, lane: int, frame: int) -> None:
        """Thing i goes on to its next column in the given lane, or hits what stands there."""
        column = self.column[i] + self.velocity[i]
        if not 0 <= column < COLUMNS:
            self.visible[i], self.velocity[i] = False, 0
            return
        struck = self.occupant(lane, column)
        if struck is None:
            self.lane[i], self.column[i] = lane, column
            return
        self.events.append(Event(frame, i, struck))
        aside = lane - self.things[struck].offset
        if aside != lane == self.lane[i] and 0 <= aside < LANES:
            self.nudge[struck] = self.velocity[i]
            self.advance(i, aside, frame)
            return
        self.velocity[struck], self.velocity[i] = self.velocity[i], 0
        self.advance(struck, self.lane[struck], frame)


def simulate(things: tuple[Thing, ...], world: World, without: int | None = None) -> Course:
    """Run the physics over all frames, if asked without one of the things."""
    run = _Run(
        things=things,
        lane=[t.lane for t in things],
        column=[t.column for t in things],
        velocity=[t.velocity for t in things],
        nudge=[0] * len(things),
        visible=[i != without for i in range(len(things))],
    )
    shape = (world.frames, len(things))
    lanes, columns, velocities, nudges = (np.zeros(shape, np.int64) for _ in range(4))
    visible = np.zeros(shape, bool)
    for frame in range(world.frames):
        if frame:
            for i in [j for j, v in enumerate(run.velocity) if v and run.visible[j]]:
                run.advance(i, run.lane[i], frame)
        lanes[frame], columns[frame], velocities[frame] = run.lane, run.column, run.velocity
        nudges[frame], visible[frame] = run.nudge, run.visible
    return Course(
        lanes=lanes,
        columns=columns,
        velocities=velocities,
        nudges=nudges,
        visible=visible,
        events=tuple(run.events),
    )
