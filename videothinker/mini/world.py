"""Mini CLEVRER's scenes: what stands where, what is asked about it, and which options are true.

The mover starts at one side and hits the target in its own lane. If a post grazes it on its way, it
slips into the neighbouring lane and hits what stands aside there. So taking the post away changes
what the mover hits, which makes a question about it inferential; taking away a thing that nothing
touches changes nothing, which makes the question observational.
Every answer is checked by running the physics again without the removed thing.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Literal

import numpy as np

from videothinker.mini.physics import Course, Thing, simulate
from videothinker.mini.settings import (
    ASKED_PHRASINGS,
    COLOURS,
    COLUMNS,
    LANES,
    OPTIONS,
    PHRASINGS,
    World,
)
from videothinker.types import Question

DEFAULT = World()
FRAMES = DEFAULT.frames
FPS = 2

SHAPES = ("cube", "sphere", "cylinder")
LETTERS = string.ascii_uppercase[:OPTIONS]

Kind = Literal["deflected", "straight", "inferential"]
"""deflected and straight are observational: the mover is grazed on its way, or it is not."""
SceneRole = Literal["mover", "post", "aside", "target", "other"]
"""The post grazes the mover, aside is what it hits then, target what it hits otherwise."""
Pair = tuple[int, int]
"""A collision that an option names: the thing that moves, and what it hits."""

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One video and its question, with everything the generator knows."""

    index: int
    world: World
    kind: Kind
    things: tuple[Thing, ...]
    roles: tuple[SceneRole, ...]
    """What part each thing plays in the video."""
    course: Course
    removed: int
    """The thing whose absence the question supposes."""
    options: tuple[Pair, ...]
    """The collisions that are offered, in the order shown."""
    answer: int
    """Position of the true one in options."""
    phrasing: int

    @property
    def observational(self) -> bool:
        """Whether watching the video is enough to answer."""
        return self.kind != "inferential"

    @property
    def mover(self) -> int:
        """The thing that moves by itself."""
        return self.roles.index("mover")

    @property
    def shown(self) -> list[int]:
        """Positions of the options that the video shows."""
        pairs = self.course.pairs()
        return [i for i, option in enumerate(self.options) if frozenset(option) in pairs]

    @property
    def observed(self) -> int:
        """What one would answer who takes the video for the answer: the shortcut."""
        (only,) = self.shown
        return only

    @property
    def question_text(self) -> str:
        """The question without its options."""
        return PHRASINGS[self.phrasing].format(self.things[self.removed].name)

    def choice_text(self, option: int) -> str:
        """One option in CLEVRER's wording."""
        mover, struck = (self.things[i].name for i in self.options[option])
        return f"The {mover} collides with the {struck}"

    def question(self) -> Question:
        """As the rest of the package sees it, identical to reading the written files."""
        return Question(
            id=f"video_{self.index:05d}/q0",
            video=f"video_{self.index:05d}.mp4",
            text=self.question_text,
            options=tuple((LETTERS[i], self.choice_text(i)) for i in range(OPTIONS)),
            answer=LETTERS[self.answer],
            category="observational" if self.observational else "inferential",
        )


GridCell = tuple[int, int]
"""Lane and column."""


def _cells(
    rng: np.random.Generator, kind: Kind, objects: int
) -> tuple[list[tuple[SceneRole, GridCell]], int]:
    """Where everything stands, for a mover that goes right, and towards which side the post is."""
    deflected = kind != "straight"
    struck = range(2, COLUMNS - 1)
    """Columns that leave room behind a struck thing."""
    lane = int(rng.integers(LANES))
    beside = int(rng.choice([n for n in (lane - 1, lane + 1) if 0 <= n < LANES]))
    bend = int(rng.integers(1, struck[-1]))
    beyond = [c for c in struck if c > bend]
    target = int(rng.choice(beyond if deflected else struck))
    cells: list[tuple[SceneRole, GridCell]] = [("mover", (lane, 0)), ("target", (lane, target))]
    free = [(n, c) for n in range(LANES) for c in range(COLUMNS) if n != lane]
    if deflected:
        cells += [("post", (lane, bend)), ("aside", (beside, int(rng.choice(beyond))))]
        free = [(n, c) for n, c in free if n != beside or c < bend]
    others = rng.permutation(len(free))[: objects - len(cells)]
    cells += [("other", free[i]) for i in others]
    return cells, lane - beside


def _things(rng: np.random.Generator, kind: Kind, objects: int) -> list[tuple[SceneRole, Thing]]:
    """A scene's things, in random order; each of its own colour."""
    cells, side = _cells(rng, kind, objects)
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
    if kind == "straight":
        colours = [*colours[:2], *colours[4:], *colours[2:4]]
    flip = bool(rng.integers(2))
    made: list[tuple[SceneRole, Thing]] = []
    for (role, cell), colour in zip(cells, colours, strict=False):
        offset = int(rng.integers(-1, 2)) if role == "other" else 0
        thing = Thing(
            colour=colour,
            shape=SHAPES[rng.integers(len(SHAPES))],
            lane=cell[0],
            column=COLUMNS - 1 - cell[1] if flip else cell[1],
            offset=side if role == "post" else offset,
            velocity=(-1 if flip else 1) if role == "mover" else 0,
        )
        made.append((role, thing))
    return [made[i] for i in rng.permutation(len(made))]


def kind_of(seed: int, index: int, world: World = DEFAULT) -> Kind:
    """Which kind a scene is: spread evenly, so that any stretch of scenes has the stated shares."""
    start = float(np.random.default_rng(seed).random())
    position = (start + index * _GOLDEN) % 1.0
    if position < world.observational / 2:
        return "deflected"
    return "straight" if position < world.observational else "inferential"


def make_scene(seed: int, index: int, kind: Kind | None = None, world: World = DEFAULT) -> Scene:
    """The scene with this number; the same arguments give the same scene."""
    rng = np.random.default_rng([seed, index])
    kind = kind or kind_of(seed, index, world)
    while True:
        roles, things = zip(*_things(rng, kind, world.objects), strict=True)
        scene = ask(rng, index, kind, things, roles, world)
        if is_sound(scene):
            return scene


def ask(
    rng: np.random.Generator,
    index: int,
    kind: Kind,
    things: tuple[Thing, ...],
    roles: tuple[SceneRole, ...],
    world: World = DEFAULT,
) -> Scene:
    """A question of this kind about these things; a video can take several.

    The true option is first of those named, before they are put in random order.
    """
    others = [i for i, role in enumerate(roles) if role == "other"]
    others = [others[i] for i in rng.permutation(len(others))]
    mover, target = roles.index("mover"), roles.index("target")
    if kind == "straight":
        removed, named = others[OPTIONS - 1], [target, *others]
    elif kind == "deflected":
        removed, named = others[OPTIONS - 2], [roles.index("aside"), target, *others]
    else:
        removed, named = roles.index("post"), [target, roles.index("aside"), *others]
    order = rng.permutation(OPTIONS).tolist()
    return Scene(
        index=index,
        world=world,
        kind=kind,
        things=things,
        roles=roles,
        course=simulate(things, world),
        removed=removed,
        options=tuple((mover, named[i]) for i in order),
        answer=order.index(0),
        phrasing=int(rng.integers(ASKED_PHRASINGS)),
    )


def is_sound(scene: Scene) -> bool:
    """Whether physics and question agree, and all readings of "observational" with each other.

    True is exactly the option that happens without the removed thing. The video shows just this
    one in an observational question, whose removed thing nothing touches, and another in an
    inferential one, whose removed thing is hit before the options' last event.
    """
    asked = [frozenset(option) for option in scene.options]
    happens = simulate(scene.things, scene.world, without=scene.removed).pairs()
    true = [i for i, pair in enumerate(asked) if pair in happens]
    if true != [scene.answer] or len(set(asked)) < len(asked):
        return False
    touched = [e.frame for e in scene.course.events if scene.removed in (e.mover, e.struck)]
    if scene.observational:
        return scene.shown == true and not touched
    last = max((scene.course.first(pair) or 0 for pair in asked), default=0)
    return bool(touched) and touched[0] <= last and scene.answer not in scene.shown
